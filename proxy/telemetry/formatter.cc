#include "proxy/telemetry/formatter.h"

#include "proxy/telemetry/field.h"

#include <charconv>
#include <iterator>

namespace clew {

namespace {

using Kind = FieldValue::Kind;

std::string& scratch() {
  thread_local std::string text;
  return text;
}

void append_number(std::string& out, std::int64_t value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, std::end(digits), value).ptr);
}

/// The shortest form, as Envoy writes it: 1000000 is 1e+06.
void append_json_number(std::string& out, double value) {
  char digits[32];
  out.append(digits, std::to_chars(digits, std::end(digits), value).ptr);
}

bool is_plain(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e || c == '"' || c == '\\') return false;
  }
  return true;
}

/// The length of the UTF-8 sequence that text starts with, or 0: overlong forms, surrogates and what is beyond Unicode.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto in = [&](std::size_t i, unsigned low, unsigned high) { return byte(i) >= low && byte(i) <= high; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return in(1, 0x80, 0xbf) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef)
    return in(1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf) && in(2, 0x80, 0xbf) ? 3 : 0;
  if (lead >= 0xf0 && lead <= 0xf4)
    return in(1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf) && in(2, 0x80, 0xbf) && in(3, 0x80, 0xbf) ? 4
                                                                                                                   : 0;
  return 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void append_unicode_escape(std::string& out, char c) {
  constexpr std::string_view hex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out += "\\u00";
  out += hex[byte >> 4];
  out += hex[byte & 15];
}

/// The inside of a JSON string. Text that is not UTF-8 is taken for Latin-1, as Envoy does.
void append_escaped(std::string& out, std::string_view text) {
  if (is_plain(text)) {
    out += text;
    return;
  }
  const bool utf8 = is_utf8(text);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (!utf8) {
      if (byte < 0x20 || byte > 0x7e || c == '"' || c == '\\')
        append_unicode_escape(out, c);
      else
        out += c;
      continue;
    }
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (byte < 0x20)
          append_unicode_escape(out, c);
        else
          out += c;
    }
  }
}

class JsonWriter {
 public:
  JsonWriter(std::string& out, const FormatContext& context, bool omit_empty)
      : out_(out), context_(context), omit_empty_(omit_empty) {}

  void write_root(const JsonFormat::Object& root) {
    if (!write(root)) out_ += "{}";
  }

 private:
  // Each returns false when it wrote nothing, since the value is empty and empty ones are left out.
  bool write(const JsonFormat::Node& node) {
    return std::visit([this](const auto& value) { return write(value); }, node.value);
  }

  bool write(const JsonFormat::Object& object) {
    const std::size_t begin = out_.size();
    bool any = false;
    out_ += '{';
    for (const auto& [key, node] : object) {
      const std::size_t before = out_.size();
      if (any) out_ += ',';
      out_ += '"';
      append_escaped(out_, key);
      out_ += "\":";
      if (write(node))
        any = true;
      else
        out_.resize(before);
    }
    out_ += '}';
    if (any || !omit_empty_) return true;
    out_.resize(begin);
    return false;
  }

  bool write(const TextFormat& format) {
    if (format.size() == 1 && format[0].op != FormatItem::Op::literal) return write_value(format[0]);
    out_ += '"';
    for (const FormatItem& item : format) {
      const FieldValue value = field_value(item, context_, scratch());
      if (value.kind == Kind::text)
        append_escaped(out_, value.text);
      else if (value.kind == Kind::number)
        append_number(out_, value.number);
      else if (!omit_empty_)
        out_ += '-';
    }
    out_ += '"';
    return true;
  }

  bool write_value(const FormatItem& item) {
    const FieldValue value = field_value(item, context_, scratch());
    if (value.kind == Kind::none) return write(nullptr);
    if (value.kind == Kind::number) return write(static_cast<double>(value.number));
    out_ += '"';
    append_escaped(out_, value.text);
    out_ += '"';
    return true;
  }

  bool write(const std::vector<JsonFormat::Node>& list) {
    out_ += '[';
    bool any = false;
    for (const JsonFormat::Node& node : list) {
      const std::size_t before = out_.size();
      if (any) out_ += ',';
      if (write(node))
        any = true;
      else
        out_.resize(before);
    }
    out_ += ']';
    return true;
  }

  bool write(double value) {
    append_json_number(out_, value);
    return true;
  }

  bool write(bool value) {
    out_ += value ? "true" : "false";
    return true;
  }

  bool write(std::nullptr_t) {
    if (omit_empty_) return false;
    out_ += "null";
    return true;
  }

  std::string& out_;
  const FormatContext& context_;
  const bool omit_empty_;
};

}  // namespace

void append_text(std::string& out, const TextFormat& format, const FormatContext& context, std::string_view empty) {
  for (const FormatItem& item : format) {
    const FieldValue value = field_value(item, context, scratch());
    switch (value.kind) {
      case Kind::text: out += value.text; break;
      case Kind::number: append_number(out, value.number); break;
      case Kind::none: out += empty;
    }
  }
}

void append_json(std::string& out, const JsonFormat& format, const FormatContext& context) {
  JsonWriter(out, context, format.omit_empty_values).write_root(format.root);
  out += '\n';
}

}  // namespace clew
