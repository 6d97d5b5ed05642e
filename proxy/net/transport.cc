#include "proxy/net/transport.h"

namespace clew {

Task<Result<void>> write_all(Transport& transport, Buffer& bytes) {
  while (!bytes.empty()) {
    const Result<std::size_t> written = transport.try_write(bytes);
    if (written) continue;
    if (written.error().code != Errc::would_block) co_return written.error();
    const Result<void> ready = co_await transport.writable();
    if (!ready) co_return ready.error();
  }
  co_return Result<void>();
}

}  // namespace clew
