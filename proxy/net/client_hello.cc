#include "proxy/net/sniff.h"

#include <algorithm>

namespace clew {

namespace {

/// Takes big-endian numbers and counted bytes off the front; after a lack of bytes everything fails.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool good() const { return good_; }
  bool empty() const { return bytes_.empty(); }
  std::uint32_t number(std::size_t size) {
    std::uint32_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<std::uint8_t>(c);
    return value;
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view out = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return out;
  }
  /// Bytes behind their own length of so many bytes.
  std::string_view counted(std::size_t length_size) {
    const std::uint32_t size = number(length_size);
    return good_ ? take(size) : std::string_view();
  }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

/// RFC 6066 3. One host name, as every engine wants it.
bool parse_server_name(std::string_view extension, std::string& name) {
  Reader outer(extension);
  Reader list(outer.counted(2));
  const std::uint32_t type = list.number(1);
  const std::string_view host = list.counted(2);
  if (!outer.good() || !outer.empty() || !list.good() || !list.empty() || type != 0) return false;
  if (host.empty() || host.size() > 255 || host.find('\0') != std::string_view::npos) return false;
  name = host;
  return true;
}

/// RFC 7301 3.1.
bool parse_alpn(std::string_view extension, std::vector<std::string>& names) {
  Reader outer(extension);
  Reader list(outer.counted(2));
  if (!outer.good() || !outer.empty() || list.empty()) return false;
  while (!list.empty()) {
    const std::string_view name = list.counted(1);
    if (!list.good() || name.empty()) return false;
    names.emplace_back(name);
  }
  return true;
}

bool parse_extensions(std::string_view bytes, ClientHello& hello) {
  Reader reader(bytes);
  std::vector<std::uint32_t> seen;
  while (!reader.empty()) {
    const std::uint32_t type = reader.number(2);
    const std::string_view data = reader.counted(2);
    if (!reader.good()) return false;
    seen.push_back(type);
    if (type == 0 && !parse_server_name(data, hello.server_name)) return false;
    if (type == 16 && !parse_alpn(data, hello.alpn)) return false;
  }
  std::sort(seen.begin(), seen.end());
  return std::adjacent_find(seen.begin(), seen.end()) == seen.end();
}

bool parse_hello(std::string_view message, ClientHello& hello) {
  Reader reader(message);
  const std::uint32_t version = reader.number(2);
  reader.take(32);  // random
  const std::string_view session = reader.counted(1);
  const std::string_view ciphers = reader.counted(2);
  const std::string_view compression = reader.counted(1);
  if (!reader.good() || version >> 8 != 3 || session.size() > 32) return false;
  if (ciphers.size() < 2 || ciphers.size() % 2 != 0 || compression.empty()) return false;
  if (reader.empty()) return true;  // older than extensions
  const std::string_view extensions = reader.counted(2);
  return reader.good() && reader.empty() && parse_extensions(extensions, hello);
}

}  // namespace

Sniffed sniff_client_hello(std::string_view bytes, ClientHello& hello) {
  std::string message;  // put together of the records' contents
  std::size_t at = 0;
  for (;;) {
    const std::string_view record = bytes.substr(at);
    if (record.empty()) return Sniffed::need_more;
    if (record[0] != 0x16) return Sniffed::other;
    if (record.size() < 2) return Sniffed::need_more;
    if (record[1] != 0x03) return Sniffed::other;
    if (record.size() < 5) return Sniffed::need_more;
    const std::size_t size = static_cast<std::uint8_t>(record[3]) * 256u + static_cast<std::uint8_t>(record[4]);
    if (size == 0 || size > 16384) return Sniffed::other;
    message += record.substr(5, size);
    if (!message.empty() && message[0] != 1) return Sniffed::other;
    if (message.size() >= 4) {
      const std::size_t whole = static_cast<std::uint8_t>(message[1]) * 65536u +
                                static_cast<std::uint8_t>(message[2]) * 256u + static_cast<std::uint8_t>(message[3]);
      if (whole > max_client_hello) return Sniffed::bad;
      if (message.size() >= 4 + whole) {
        ClientHello parsed;
        if (!parse_hello(std::string_view(message).substr(4, whole), parsed)) return Sniffed::other;
        hello = std::move(parsed);
        return Sniffed::found;
      }
    }
    if (record.size() < 5 + size) return Sniffed::need_more;
    at += 5 + size;
  }
}

}  // namespace clew
