// The command `clew init`.
#pragma once

namespace clew {

/// argv[0] is the command's own name. The exit code is one of InitExit.
int run_init(int argc, char** argv);

}  // namespace clew
