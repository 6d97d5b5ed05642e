#include "proxy/grpc/framing.h"

#include <algorithm>
#include <utility>

namespace clew {

void append_grpc_message(Buffer& out, std::string_view message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  const char prefix[5] = {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                          static_cast<char>(size)};
  out.append({prefix, sizeof prefix});
  out.append(message);
}

Result<std::string> GrpcMessageReader::next(Buffer& in) {
  while (!in_message_ && !in.empty()) {
    prefix_[prefix_size_++] = in.front().front();
    in.consume(1);
    if (prefix_size_ < sizeof prefix_) continue;
    prefix_size_ = 0;
    if (prefix_[0] != 0) return Error{Errc::http_bad_message};
    missing_ = 0;
    for (int i = 1; i < 5; ++i) missing_ = missing_ << 8 | static_cast<unsigned char>(prefix_[i]);
    if (missing_ > max_message_) return Error{Errc::out_of_memory_bound};
    in_message_ = true;
    message_.clear();
  }
  if (!in_message_) return Error{Errc::would_block};
  while (missing_ > 0 && !in.empty()) {
    const std::string_view part = in.front().substr(0, missing_);
    message_.append(part);
    missing_ -= part.size();
    in.consume(part.size());
  }
  if (missing_ > 0) return Error{Errc::would_block};
  in_message_ = false;
  return std::exchange(message_, {});
}

std::string decode_grpc_message(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string grpc_timeout(Duration timeout) {
  constexpr std::int64_t most = 99'999'999;
  const auto ms = std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(timeout).count());
  if (ms <= most) return std::to_string(ms) + 'm';
  if (ms / 1000 <= most) return std::to_string(ms / 1000) + 'S';
  if (ms / 60'000 <= most) return std::to_string(ms / 60'000) + 'M';
  return std::to_string(std::min(ms / 3'600'000, most)) + 'H';
}

}  // namespace clew
