// GET /config_dump: envoy.admin.v3.ConfigDump out of what the store kept, resources as they were received.
#pragma once

#include "proxy/admin/admin.h"

namespace clew {

/// resource, mask, name_regex and include_eds as Envoy reads them.
AdminResponse config_dump(const Process& process, const Query& query);

}  // namespace clew
