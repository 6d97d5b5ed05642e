// For LD_PRELOAD: the CLEW_FAIL_AT-th allocation of the process fails, and says so on standard error. With CLEW_FAIL_FROM=N
// none does until SIGUSR2: then the N-th after it; after the next SIGUSR2 the one after N + 1, and so on.
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

static atomic_long left;  // allocations until then; at zero and below: none fails any more
static atomic_long from;

static void arm(int number) {
  (void)number;
  atomic_store(&left, atomic_fetch_add(&from, 1));
}

__attribute__((constructor)) static void begin(void) {
  const char* at = getenv("CLEW_FAIL_AT");
  if (at) atomic_store(&left, atol(at));
  const char* first = getenv("CLEW_FAIL_FROM");
  if (!first) return;
  atomic_store(&from, atol(first));
  signal(SIGUSR2, arm);
}

static int fails(void) {
  if (atomic_load(&left) <= 0 || atomic_fetch_sub(&left, 1) != 1) return 0;
  static const char text[] = "an allocation failed\n";
  if (write(2, text, sizeof(text) - 1) < 0) return 1;
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void* realloc(void* memory, size_t size) { return fails() ? NULL : __libc_realloc(memory, size); }
void* aligned_alloc(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }
void* memalign(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = fails() ? NULL : __libc_memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
