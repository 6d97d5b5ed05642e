// The parts of the field table, a file each.
#pragma once

#include "config/xds/field_table.h"

namespace clew {

TableSection bootstrap_fields();
TableSection listener_fields();
TableSection http_fields();
TableSection route_fields();
TableSection filter_fields();
TableSection cluster_fields();
TableSection tls_fields();
TableSection access_log_fields();
TableSection common_fields();

}  // namespace clew
