// Writes the descriptors of the files named on standard input, and of what they need, as one FileDescriptorSet on
// standard output. Options are left out: they are rules for other tools and would double what an idle proxy keeps in
// memory. So are services, whose methods we call by name. With --names it lists the files instead.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

type dump struct {
	done map[string]bool
	set  descriptorpb.FileDescriptorSet
}

func main() {
	d := dump{done: map[string]bool{}}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		name := strings.TrimSpace(lines.Text())
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		file, err := protoregistry.GlobalFiles.FindFileByPath(name)
		fail(err)
		d.add(file)
	}
	fail(lines.Err())
	if len(os.Args) > 1 && os.Args[1] == "--names" {
		for _, file := range d.set.File {
			fmt.Println(file.GetName())
		}
		return
	}
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(&d.set)
	fail(err)
	_, err = os.Stdout.Write(bytes)
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// add appends file after everything it needs, which is what protoc asks of a set.
func (d *dump) add(file protoreflect.FileDescriptor) {
	if d.done[file.Path()] {
		return
	}
	d.done[file.Path()] = true

	p := protodesc.ToFileDescriptorProto(file)
	needs := map[string]protoreflect.FileDescriptor{}
	for i := range file.Messages().Len() {
		collect(file.Messages().Get(i), needs)
	}
	// The original order, less what only options used, plus what came through a public import.
	deps := []string{}
	for _, dep := range p.Dependency {
		if needs[dep] != nil {
			deps = append(deps, dep)
			d.add(needs[dep])
			delete(needs, dep)
		}
	}
	delete(needs, file.Path())
	for dep := range needs {
		fail(fmt.Errorf("%s uses %s without importing it", file.Path(), dep))
	}
	p.Dependency, p.PublicDependency, p.WeakDependency = deps, nil, nil
	p.Options, p.Service, p.Extension = nil, nil, nil
	for _, m := range p.MessageType {
		strip(m)
	}
	for _, e := range p.EnumType {
		stripEnum(e)
	}
	d.set.File = append(d.set.File, p)
}

func collect(m protoreflect.MessageDescriptor, needs map[string]protoreflect.FileDescriptor) {
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if t := field.Message(); t != nil {
			needs[t.ParentFile().Path()] = t.ParentFile()
		}
		if t := field.Enum(); t != nil {
			needs[t.ParentFile().Path()] = t.ParentFile()
		}
	}
	for i := range m.Messages().Len() {
		collect(m.Messages().Get(i), needs)
	}
}

func strip(m *descriptorpb.DescriptorProto) {
	if m.Options.GetMapEntry() {
		m.Options = &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}
	} else {
		m.Options = nil
	}
	m.Extension, m.ReservedName, m.ReservedRange = nil, nil, nil
	for _, f := range m.Field {
		if packed := f.Options.GetPacked(); f.Options != nil && f.Options.Packed != nil {
			f.Options = &descriptorpb.FieldOptions{Packed: &packed}
		} else {
			f.Options = nil
		}
		f.JsonName = nil // protoc and the runtime derive it; none of these files has one of its own.
	}
	for _, o := range m.OneofDecl {
		o.Options = nil
	}
	for _, nested := range m.NestedType {
		strip(nested)
	}
	for _, e := range m.EnumType {
		stripEnum(e)
	}
}

func stripEnum(e *descriptorpb.EnumDescriptorProto) {
	if e.Options.GetAllowAlias() {
		e.Options = &descriptorpb.EnumOptions{AllowAlias: proto.Bool(true)}
	} else {
		e.Options = nil
	}
	e.ReservedName, e.ReservedRange = nil, nil
	for _, v := range e.Value {
		v.Options = nil
	}
}
