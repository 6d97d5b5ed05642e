// What this process holds, as its allocator and the kernel count it. Any thread; a read of /proc.
#pragma once

#include <cstdint>

namespace clew {

/// Bytes. The allocator's are 0 under sanitizers, whose own keeps no account.
struct ProcessMemory {
  std::uint64_t allocated = 0;  // in use
  std::uint64_t heap_size = 0;  // taken from the system
  std::uint64_t free = 0;       // of the heap, not in use
  std::uint64_t physical = 0;   // resident
};
ProcessMemory process_memory();

}  // namespace clew
