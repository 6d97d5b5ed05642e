// Bytes on their way through a connection: a queue of slices of reference-counted slabs. Moving bytes from one buffer
// to another moves slices, not bytes, but for small ones: a slice pins its whole slab, and however small the pieces are
// that a peer sends, the slabs behind a buffer hold at most eight times its bytes, and two more. Slabs come from a free
// list of the thread that uses them and go back to it, so an idle connection owns none; a buffer and its slabs never
// leave their thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace clew {

class Buffer {
 public:
  /// Bytes in a slab: one full TLS record and its header fit.
  static constexpr std::size_t slab_size = 16 * 1024 + 256;
  static constexpr std::size_t copy_below = 4096;

  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  /// The first contiguous bytes; empty when the buffer is.
  std::string_view front() const;
  /// Up to `max` slices for writev; returns how many were filled.
  std::size_t peek(std::span<iovec> out) const;
  /// All bytes as one string: for tests and small messages only.
  std::string to_string() const;
  /// Makes the first n bytes contiguous (n <= size, n <= slab_size) and returns them.
  std::string_view pull_up(std::size_t n);

  void append(std::string_view bytes);
  /// Takes all of other's bytes.
  void append(Buffer&& other);
  /// Takes the first n bytes of other (n <= other.size()). What is less than copy_below joins what is here already.
  void append(Buffer& other, std::size_t n);

  /// Room to read into: at least `min` contiguous bytes (0 < min <= slab_size) at the end. Then commit what was filled,
  /// 0 included: that gives a slab back that stayed empty. Nothing else may be appended in between.
  std::span<char> prepare(std::size_t min = 4096);
  void commit(std::size_t n);

  /// Forgets the first n bytes (n <= size) and returns emptied slabs to the free list.
  void consume(std::size_t n);
  void clear() { consume(size_); }

  /// Gives the free slabs of this thread back to the allocator beyond `keep` of them.
  static void trim_free_list(std::size_t keep);

 private:
  struct Slab;
  struct Slice;
  void push(Slab* slab, std::uint32_t begin, std::uint32_t end);
  static Slice* make_slice(Slab* slab, std::uint32_t begin, std::uint32_t end, Slice* next);
  void pop_front();
  static Slab* take();
  static void release(Slab* slab);

  Slice* first_ = nullptr;
  Slice* last_ = nullptr;
  Slab* prepared_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace clew
