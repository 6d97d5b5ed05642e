// GET /certs: envoy.admin.v3.Certificates of every secret in use.
#pragma once

#include "proxy/admin/admin.h"

namespace clew {

AdminResponse certs_page(const ConfigStore& store, WallTime now);

}  // namespace clew
