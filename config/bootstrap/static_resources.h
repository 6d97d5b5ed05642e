// The bootstrap's clusters, secrets and listeners on their way into the store.
#pragma once

#include "config/bootstrap/bootstrap.h"

namespace clew {

class ConfigStore;

/// Adds all of them, clusters first. Returns what is wrong and where with the first that cannot be used, or nothing:
/// a bootstrap is accepted whole or not at all. `--mode validate` does this with a store that serves nobody.
std::string add_static_resources(const Bootstrap& bootstrap, ConfigStore& store);

}  // namespace clew
