#include "proxy/base/arena.h"

#include "proxy/base/recycled.h"

#include <cstdint>
#include <cstring>
#include <new>

namespace clew {

struct Arena::Block {
  Block* next;
  std::size_t size;  // of the whole block
};

namespace {

constexpr std::size_t alignment = alignof(std::max_align_t);

}  // namespace

Arena::~Arena() {
  while (head_) {
    Block* block = head_;
    head_ = block->next;
    recycle(block, block->size);
  }
}

char* Arena::allocate(std::size_t size, bool align) {
  static_assert(sizeof(Block) % alignment == 0);
  used_ += size;
  if (align) {
    const auto misfit = reinterpret_cast<std::uintptr_t>(at_) % alignment;
    if (misfit && static_cast<std::size_t>(end_ - at_) >= alignment - misfit)
      at_ += alignment - misfit;
    else if (misfit)
      at_ = end_ = nullptr;
  }
  if (at_ && static_cast<std::size_t>(end_ - at_) >= size) {
    char* out = at_;
    at_ += size;
    return out;
  }
  const std::size_t usual = head_ ? block_size : first_block_size;
  const bool own = size > usual - sizeof(Block);
  const std::size_t whole = own ? sizeof(Block) + size : usual;
  Block* block = new (take_recycled(whole)) Block{head_, whole};
  head_ = block;
  char* out = reinterpret_cast<char*>(block + 1);
  if (own) return out;  // what is left of the current block stays in use
  at_ = out + size;
  end_ = reinterpret_cast<char*>(block) + whole;
  return out;
}

std::string_view Arena::copy(std::string_view text) {
  if (text.empty()) return {"", 0};
  char* out = allocate(text.size());
  std::memcpy(out, text.data(), text.size());
  return {out, text.size()};
}

std::string_view Arena::concat(std::string_view a, std::string_view b, std::string_view c) {
  const std::size_t size = a.size() + b.size() + c.size();
  if (size == 0) return {"", 0};
  char* const out = allocate(size);
  char* at = out;
  for (std::string_view piece : {a, b, c}) {
    if (piece.empty()) continue;
    std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  }
  return {out, size};
}

}  // namespace clew
