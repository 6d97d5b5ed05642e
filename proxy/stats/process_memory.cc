#include "proxy/stats/process_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <fstream>

namespace clew {

ProcessMemory process_memory() {
  const struct mallinfo2 heap = mallinfo2();
  std::uint64_t all = 0, resident = 0;  // pages
  std::ifstream("/proc/self/statm") >> all >> resident;
  return {heap.uordblks + heap.hblkhd, heap.arena + heap.hblkhd, heap.fordblks,
          resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))};
}

}  // namespace clew
