// What nghttp2 allocates comes from the thread's recycled memory: a stream costs it a dozen small blocks.
#pragma once

#include <nghttp2/nghttp2.h>

namespace clew {

/// For nghttp2_session_*_new3. One for the process, without state.
nghttp2_mem* recycled_nghttp2_memory();

}  // namespace clew
