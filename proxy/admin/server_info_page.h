// GET /server_info and /init_dump: what this process is, and what it still waits for.
#pragma once

#include "proxy/admin/admin.h"

namespace clew {

/// envoy.admin.v3.ServerInfo::State's name.
std::string_view state_name(ServerState state);
AdminResponse server_info_page(const Process& process);
/// What keeps listeners and clusters from being warm (envoy.admin.v3.UnreadyTargetsDumps); ?mask=listener leaves the
/// listeners alone.
AdminResponse init_dump_page(const ConfigStore& store, const Query& query);

}  // namespace clew
