#include "proxy/base/buffer.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>

using namespace clew;

namespace {

std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 131 + i / 251);
  return out;
}

}  // namespace

TEST_CASE("an empty buffer is harmless") {
  Buffer buffer, other;
  CHECK(buffer.front().empty());
  CHECK(buffer.pull_up(0).empty());
  buffer.consume(0);
  buffer.clear();
  buffer.append(other, 0);
  buffer.append(std::move(other));
  buffer.append("");
  std::array<iovec, 2> slices;
  CHECK(buffer.peek(slices) == 0);
  CHECK(buffer.to_string().empty());
}

TEST_CASE("bytes come out as they went in") {
  const std::string bytes = pattern(100'000);
  Buffer buffer;
  buffer.append(bytes);
  CHECK(buffer.size() == bytes.size());
  CHECK(buffer.to_string() == bytes);
  std::string out;
  while (!buffer.empty()) {
    const std::size_t n = std::min<std::size_t>(buffer.front().size(), 7001);
    out += buffer.front().substr(0, n);
    buffer.consume(n);
  }
  CHECK(out == bytes);
}

TEST_CASE("moving takes the slices, not the bytes") {
  Buffer a, b;
  a.append("hello");
  const char* at = a.front().data();
  b.append(std::move(a));
  CHECK(a.empty());
  CHECK(b.front().data() == at);
  Buffer c(std::move(b));
  CHECK(c.front().data() == at);
  Buffer& same = c;
  c = std::move(same);
  CHECK(c.to_string() == "hello");
  b = std::move(c);
  CHECK(b.front().data() == at);
}

TEST_CASE("a part of a slab is moved by reference") {
  Buffer a, b;
  a.append(pattern(1000));
  const char* at = a.front().data();
  b.append(a, 400);
  CHECK(b.front().data() == at);
  CHECK(a.front().data() == at + 400);
  b.append(a, 100);
  std::array<iovec, 4> slices;
  CHECK(b.peek(slices) == 1);  // neighbours in a slab are one slice
  b.append("tail");            // must not write over what `a` still holds
  CHECK(a.to_string() == pattern(1000).substr(500));
  CHECK(b.to_string() == pattern(1000).substr(0, 500) + "tail");
  a.append("more");
  CHECK(a.to_string() == pattern(1000).substr(500) + "more");
}

TEST_CASE("small pieces, each in a slab of its own, do not keep those slabs") {
  constexpr std::size_t pieces = 10'000;
  const auto slabs = [](const Buffer& buffer) {
    std::array<iovec, pieces> slices;
    return buffer.peek(slices);
  };
  const std::size_t whole = GENERATE(as<std::size_t>(), 0, 1);  // does all of the other buffer move, or a part of it
  const std::string piece = pattern(GENERATE(1, 7, 100));
  Buffer to;
  std::string model;
  for (std::size_t i = 0; i < pieces; ++i) {
    Buffer from;  // as a read from a socket fills it
    from.append(piece);
    if (whole)
      to.append(std::move(from));
    else
      to.append(from, piece.size());
    model += piece;
  }
  CHECK(slabs(to) <= model.size() / Buffer::slab_size + 2);
  CHECK(to.to_string() == model);

  // The worst that a peer can choose: the slab that a small one began is never filled.
  Buffer mixed;
  const std::string large = pattern(Buffer::copy_below);
  for (std::size_t i = 0; i < 100; ++i) {
    for (const std::string_view bytes : {std::string_view(large), std::string_view(piece)}) {
      Buffer from;
      from.prepare(Buffer::slab_size);
      from.append(bytes);
      mixed.append(from, bytes.size());
    }
  }
  CHECK(slabs(mixed) * Buffer::slab_size <= 8 * mixed.size() + 2 * Buffer::slab_size);
}

TEST_CASE("parts outlive the buffer they came from") {
  Buffer part;
  {
    Buffer whole;
    whole.append(pattern(40'000));
    part.append(whole, 20'000);
  }
  CHECK(part.to_string() == pattern(40'000).substr(0, 20'000));
}

TEST_CASE("prepared room is committed in part, or not at all") {
  Buffer buffer;
  auto room = buffer.prepare(Buffer::slab_size);
  CHECK(room.size() == Buffer::slab_size);
  buffer.commit(0);
  CHECK(buffer.empty());
  room = buffer.prepare();
  CHECK(room.size() >= 4096);
  std::memcpy(room.data(), "abc", 3);
  buffer.commit(3);
  room = buffer.prepare(1);
  CHECK(room.data() == buffer.front().data() + 3);
  room = buffer.prepare(Buffer::slab_size);  // asked again for more, without commit
  std::memcpy(room.data(), "def", 3);
  buffer.commit(3);
  CHECK(buffer.to_string() == "abcdef");
  buffer.prepare();  // never committed
}

TEST_CASE("consuming what was read leaves the prepared room valid") {
  Buffer buffer;
  buffer.append("abc");
  auto room = buffer.prepare(1);
  buffer.consume(3);
  room[0] = 'd';
  buffer.commit(1);
  CHECK(buffer.to_string() == "d");
}

TEST_CASE("pull_up joins slices") {
  Buffer buffer, other;
  const std::string rest = pattern(Buffer::copy_below);  // one slice less would be copied
  buffer.append("abc");
  other.append(rest);
  buffer.append(std::move(other));
  CHECK(buffer.front() == "abc");
  CHECK(buffer.pull_up(2) == "ab");
  CHECK(buffer.pull_up(5) == "abc" + rest.substr(0, 2));
  CHECK(buffer.to_string() == "abc" + rest);
  CHECK(buffer.pull_up(buffer.size()) == "abc" + rest);
  buffer.append("h");
  CHECK(buffer.to_string() == "abc" + rest + "h");
  Buffer large;
  large.append(pattern(60'000));
  large.consume(10);
  CHECK(large.pull_up(Buffer::slab_size) == pattern(60'000).substr(10, Buffer::slab_size));
  CHECK(large.to_string() == pattern(60'000).substr(10));
}

TEST_CASE("peek gives as many slices as there is room for") {
  Buffer buffer;
  buffer.append(pattern(Buffer::slab_size * 3));
  std::array<iovec, 2> two;
  std::array<iovec, 8> eight;
  CHECK(buffer.peek(two) == 2);
  CHECK(buffer.peek(eight) == 3);
}

TEST_CASE("any sequence of operations equals the same on strings") {
  std::mt19937 random(GENERATE(1u, 2u, 3u, 4u));
  std::array<Buffer, 3> buffers;
  std::array<std::string, 3> models;
  const std::string source = pattern(50'000);
  for (int step = 0; step < 5000; ++step) {
    const std::size_t i = random() % 3, j = (i + 1 + random() % 2) % 3;
    const std::size_t n = random() % 4 == 0 ? random() % 20'000 : random() % 50;
    switch (random() % 7) {
      case 0: {
        buffers[i].append(std::string_view(source).substr(n, n));
        models[i] += source.substr(n, n);
        break;
      }
      case 1: {
        const std::size_t part = std::min(n, models[j].size());
        buffers[i].append(buffers[j], part);
        models[i] += models[j].substr(0, part);
        models[j].erase(0, part);
        break;
      }
      case 2: {
        buffers[i].append(std::move(buffers[j]));
        models[i] += models[j];
        models[j].clear();
        break;
      }
      case 3:
      case 4: {
        const std::size_t part = std::min(n, models[i].size());
        buffers[i].consume(part);
        models[i].erase(0, part);
        break;
      }
      case 5: {
        const std::size_t part = std::min({n, models[i].size(), Buffer::slab_size});
        REQUIRE(buffers[i].pull_up(part) == models[i].substr(0, part));
        break;
      }
      default: {
        const std::size_t part = n % 5000;
        const auto room = buffers[i].prepare(std::max<std::size_t>(part, 1));
        std::memcpy(room.data(), source.data(), part);
        buffers[i].commit(part);
        models[i] += source.substr(0, part);
      }
    }
    REQUIRE(buffers[i].size() == models[i].size());
    if (step % 50 == 0) REQUIRE(buffers[i].to_string() == models[i]);
  }
  for (std::size_t i = 0; i < 3; ++i) CHECK(buffers[i].to_string() == models[i]);
  Buffer::trim_free_list(0);
}
