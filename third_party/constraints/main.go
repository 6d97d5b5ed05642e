// Writes what Envoy's API demands of its fields (protoc-gen-validate's rules, which the descriptors that the proxy has
// leave out) as text: one line for each message, sorted by name,
//
//	envoy.config.cluster.v3.Cluster<TAB>FIELD RULE<TAB>FIELD RULE VALUE…
//
// FIELD is a field's number, with [] each element of it, with {} each key of a map, with {=} each value. «NAME oneof»
// demands one of the fields of that oneof. Durations are nanoseconds. config/xds/constraints.cc reads it, and must know
// every rule that there is.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/envoyproxy/protoc-gen-validate/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
)

var lines []string

func main() {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			message(file.Messages().Get(i))
		}
		return true
	})
	sort.Strings(lines)
	fmt.Printf("R\"~~(\n%s\n)~~\"\n", strings.Join(lines, "\n"))
}

func fail(what string, args ...any) {
	fmt.Fprintf(os.Stderr, what+"\n", args...)
	os.Exit(1)
}

func message(m protoreflect.MessageDescriptor) {
	for i := range m.Messages().Len() {
		message(m.Messages().Get(i))
	}
	if proto.GetExtension(m.Options(), validate.E_Disabled).(bool) || proto.GetExtension(m.Options(), validate.E_Ignored).(bool) {
		return
	}
	var rules []string
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if r := proto.GetExtension(field.Options(), validate.E_Rules).(*validate.FieldRules); r != nil {
			rules = append(rules, of(fmt.Sprint(field.Number()), r)...)
		}
	}
	for i := range m.Oneofs().Len() {
		oneof := m.Oneofs().Get(i)
		if proto.GetExtension(oneof.Options(), validate.E_Required).(bool) {
			rules = append(rules, fmt.Sprintf("%s oneof", oneof.Name()))
		}
	}
	if len(rules) > 0 {
		lines = append(lines, string(m.FullName())+"\t"+strings.Join(rules, "\t"))
	}
}

// The rules of one field, element, key or value.
func of(field string, rules *validate.FieldRules) []string {
	var out []string
	if rules.GetMessage().GetRequired() {
		out = append(out, field+" required")
	}
	if rules.Type == nil {
		return out
	}
	r := rules.ProtoReflect()
	kind := r.WhichOneof(r.Descriptor().Oneofs().ByName("type"))
	r = r.Get(kind).Message()
	if ignore := r.Descriptor().Fields().ByName("ignore_empty"); ignore != nil && r.Get(ignore).Bool() {
		out = append(out, field+" ignore_empty")
	}
	r.Range(func(rule protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		out = append(out, one(field, rule, value)...)
		return true
	})
	return out
}

func one(field string, rule protoreflect.FieldDescriptor, value protoreflect.Value) []string {
	switch name := string(rule.Name()); name {
	case "ignore_empty":
		return nil
	case "items":
		return of(field+"[]", value.Message().Interface().(*validate.FieldRules))
	case "keys":
		return of(field+"{}", value.Message().Interface().(*validate.FieldRules))
	case "values":
		return of(field+"{=}", value.Message().Interface().(*validate.FieldRules))
	case "in", "not_in", "const", "gt", "gte", "lt", "lte", "min_len", "max_len", "min_bytes", "max_bytes", "prefix", "suffix", "pattern", "min_items",
		"max_items", "unique", "min_pairs", "defined_only", "required", "well_known_regex", "strict":
		text := strings.Join(texts(rule, value), " ")
		if strings.ContainsAny(text, "\t\n") {
			fail("%s %s: %q cannot be written", field, name, text)
		}
		return []string{strings.TrimRight(fmt.Sprintf("%s %s %s", field, name, text), " ")}
	default:
		fail("%s: rule %s is not provided for", field, name)
		return nil
	}
}

func texts(rule protoreflect.FieldDescriptor, value protoreflect.Value) []string {
	if rule.IsList() {
		var out []string
		for i := range value.List().Len() {
			out = append(out, scalar(rule, value.List().Get(i)))
		}
		return out
	}
	return []string{scalar(rule, value)}
}

func scalar(rule protoreflect.FieldDescriptor, value protoreflect.Value) string {
	switch {
	case rule.Message() != nil:
		duration, ok := value.Message().Interface().(*durationpb.Duration)
		if !ok {
			fail("%s has a value of type %s", rule.FullName(), rule.Message().FullName())
		}
		return fmt.Sprint(duration.AsDuration().Nanoseconds())
	case rule.Enum() != nil:
		return string(rule.Enum().Values().ByNumber(value.Enum()).Name())
	case rule.Kind() == protoreflect.BytesKind:
		return fmt.Sprintf("%x", value.Bytes())
	default:
		return fmt.Sprint(value.Interface())
	}
}
