// What nghttp2 allocates comes from the thread's recycled memory: a stream costs it a dozen small blocks. Two blocks of
// a session are large, each a page or more that an idle session would keep for nothing.
#pragma once

#include <nghttp2/nghttp2.h>

namespace clew {

/// The memory of one session: made before it, and outlives it.
///
/// Its frames: the sessions of a thread share the 16 KiB into which each would pack them. What stands there matters
/// until nghttp2_session_mem_send() has returned and its bytes are copied; so they must be, before another session of
/// the thread is called. A client's preface stands there from the beginning.
///
/// Its streams: their table is a page of its own, which rest() gives back while it is empty.
class H2Memory {
 public:
  /// For nghttp2_session_*_new3, which copies it.
  nghttp2_mem hooks();
  /// The session is there: what it takes from here on is like any other memory.
  void made() { making_ = false; }
  /// No stream is there, and none is expected soon: a system call, and the next one costs a page fault.
  void rest();

 private:
  struct Hooks;

  bool making_ = true;
  void* streams_ = nullptr;  // null: it is no page of its own
};

}  // namespace clew
