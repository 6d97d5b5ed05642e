#include "proxy/base/buffer.h"

#include "proxy/base/free_list.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>
#include <utility>

namespace clew {

/// Bytes [0, used) were given out; the rest is free for whoever holds the slab, whose slices never overlap.
struct Buffer::Slab {
  std::uint32_t references;
  std::uint32_t used;
  char data[slab_size];
};

struct Buffer::Slice {
  Slab* slab;
  std::uint32_t begin, end;
  Slice* next;
  std::size_t size() const { return end - begin; }
};

namespace {

thread_local FreeList<128> free_slabs;  // 2 MiB
thread_local FreeList<1024> free_slices;

}  // namespace

Buffer::Slab* Buffer::take() {
  void* memory = free_slabs.get();
  if (!memory) memory = ::operator new(sizeof(Slab));
  Slab* slab = new (memory) Slab;
  slab->references = 1;
  slab->used = 0;
  return slab;
}

void Buffer::release(Slab* slab) {
  if (--slab->references == 0 && !free_slabs.put(slab)) ::operator delete(slab);
}

Buffer::Slice* Buffer::make_slice(Slab* slab, std::uint32_t begin, std::uint32_t end, Slice* next) {
  void* memory = free_slices.get();
  if (!memory) memory = ::operator new(sizeof(Slice));
  ++slab->references;
  return new (memory) Slice{slab, begin, end, next};
}

void Buffer::push(Slab* slab, std::uint32_t begin, std::uint32_t end) {
  size_ += end - begin;
  if (last_ && last_->slab == slab && last_->end == begin) {
    last_->end = end;
    return;
  }
  Slice* slice = make_slice(slab, begin, end, nullptr);
  (last_ ? last_->next : first_) = slice;
  last_ = slice;
}

void Buffer::pop_front() {
  Slice* slice = first_;
  first_ = slice->next;
  if (!first_) last_ = nullptr;
  release(slice->slab);
  if (!free_slices.put(slice)) ::operator delete(slice);
}

Buffer::Buffer(Buffer&& other) noexcept
    : first_(std::exchange(other.first_, nullptr)),
      last_(std::exchange(other.last_, nullptr)),
      prepared_(std::exchange(other.prepared_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  this->~Buffer();
  return *new (this) Buffer(std::move(other));
}

Buffer::~Buffer() {
  while (first_) pop_front();
  if (prepared_) release(prepared_);
}

std::string_view Buffer::front() const {
  if (!first_) return {};
  return {first_->slab->data + first_->begin, first_->size()};
}

std::size_t Buffer::peek(std::span<iovec> out) const {
  std::size_t n = 0;
  for (Slice* slice = first_; slice && n < out.size(); slice = slice->next)
    out[n++] = {slice->slab->data + slice->begin, slice->size()};
  return n;
}

std::string Buffer::to_string() const {
  std::string out;
  out.reserve(size_);
  for (Slice* slice = first_; slice; slice = slice->next) out.append(slice->slab->data + slice->begin, slice->size());
  return out;
}

std::string_view Buffer::pull_up(std::size_t n) {
  assert(n <= size_ && n <= slab_size);
  if (n == 0) return {};
  if (first_->size() < n) {
    Slab* slab = take();
    while (slab->used < n) {
      const std::string_view part = front().substr(0, n - slab->used);
      std::memcpy(slab->data + slab->used, part.data(), part.size());
      slab->used += static_cast<std::uint32_t>(part.size());
      consume(part.size());
    }
    first_ = make_slice(slab, 0, slab->used, first_);
    if (!last_) last_ = first_;
    size_ += n;
    release(slab);
  }
  return front().substr(0, n);
}

void Buffer::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> room = prepare(1);
    const std::size_t part = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), part);
    commit(part);
    bytes.remove_prefix(part);
  }
}

void Buffer::append(Buffer&& other) {
  assert(this != &other);
  if (!other.first_) return;
  if (last_ && other.size_ < copy_below) return append(other, other.size_);
  (last_ ? last_->next : first_) = other.first_;
  last_ = other.last_;
  size_ += other.size_;
  other.first_ = other.last_ = nullptr;
  other.size_ = 0;
}

void Buffer::append(Buffer& other, std::size_t n) {
  assert(n <= other.size_ && this != &other);
  while (n > 0) {
    const Slice& source = *other.first_;
    const std::size_t part = std::min(n, source.size());
    const bool follows = last_ && last_->slab == source.slab && last_->end == source.begin;
    if (last_ && !follows && part < copy_below)
      append(std::string_view(source.slab->data + source.begin, part));
    else
      push(source.slab, source.begin, source.begin + static_cast<std::uint32_t>(part));
    n -= part;
    other.consume(part);
  }
}

std::span<char> Buffer::prepare(std::size_t min) {
  assert(min > 0 && min <= slab_size);
  if (prepared_ && slab_size - prepared_->used >= min)
    return {prepared_->data + prepared_->used, slab_size - prepared_->used};
  if (prepared_) release(std::exchange(prepared_, nullptr));
  if (last_ && last_->end == last_->slab->used && slab_size - last_->end >= min) {
    prepared_ = last_->slab;
    ++prepared_->references;
  } else {
    prepared_ = take();
  }
  return {prepared_->data + prepared_->used, slab_size - prepared_->used};
}

void Buffer::commit(std::size_t n) {
  assert(prepared_ && n <= slab_size - prepared_->used);
  Slab* slab = std::exchange(prepared_, nullptr);
  if (n > 0) {
    const std::uint32_t begin = slab->used;
    slab->used += static_cast<std::uint32_t>(n);
    push(slab, begin, slab->used);
  }
  release(slab);
}

void Buffer::consume(std::size_t n) {
  assert(n <= size_);
  size_ -= n;
  while (n > 0) {
    const std::size_t part = std::min(n, first_->size());
    first_->begin += static_cast<std::uint32_t>(part);
    n -= part;
    if (first_->size() == 0) pop_front();
  }
}

void Buffer::trim_free_list(std::size_t keep) { free_slabs.trim(keep); }

}  // namespace clew
