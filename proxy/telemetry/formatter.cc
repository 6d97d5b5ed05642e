#include "proxy/telemetry/formatter.h"

#include "proxy/base/encoding.h"
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

/// A JSON value in a text is a text, which a length may cut.
std::string_view as_text(const FieldValue& value, const FormatItem& item) {
  return value.text.substr(0, item.max_length.value_or(value.text.size()));
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
      append_json_escaped(out_, key);
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
      if (value.kind == Kind::text || value.kind == Kind::json)
        append_json_escaped(out_, as_text(value, item));
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
    if (value.kind == Kind::json) {
      out_ += value.text;
      return true;
    }
    out_ += '"';
    append_json_escaped(out_, value.text);
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
      case Kind::text:
      case Kind::json: out += as_text(value, item); break;
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
