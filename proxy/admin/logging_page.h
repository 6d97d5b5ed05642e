// POST /logging: the levels of the process log, for people and `istioctl proxy-config log`.
#pragma once

#include "proxy/admin/admin.h"

namespace clew {

/// One parameter at most, as Envoy: ?level=L for all, ?LOGGER=L for one, ?paths=LOGGER:L,… for several, of which none
/// is changed when one is wrong.
AdminResponse logging_page(const Query& query);

}  // namespace clew
