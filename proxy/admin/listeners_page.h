// GET /listeners: each listener and the addresses it serves.
#pragma once

#include "proxy/admin/admin.h"

namespace clew {

AdminResponse listeners_page(const ConfigStore& store, bool json);

}  // namespace clew
