// How long a thread runs at a time while others want its core.
#pragma once

#include "proxy/base/clock.h"

namespace clew {

/// Asks the kernel for slices of this length, for the calling thread; its share of the core stays what it was. Who has
/// short ones and wakes need not wait until the slice of somebody else is over (EEVDF; sched_runtime in
/// sched_setattr(2)). Linux takes 0.1 to 100 ms since 6.12 and pays no heed before. 0, or errno; EINVAL under a policy
/// other than SCHED_OTHER, which is left as it is.
int ask_for_time_slice(Duration slice);

}  // namespace clew
