#include "proxy/net/time_slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace clew {
namespace {

/// The kernel's sched_attr in its first form; <linux/sched/types.h> does not go together with <sched.h>.
struct Attributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
};

}  // namespace

int ask_for_time_slice(Duration slice) {
  Attributes attributes{};  // what the thread has is kept: nice too
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return errno;
  if (attributes.policy != SCHED_OTHER) return EINVAL;
  attributes.runtime = static_cast<std::uint64_t>(slice.count());
  return ::syscall(SYS_sched_setattr, 0, &attributes, 0) == 0 ? 0 : errno;
}

}  // namespace clew
