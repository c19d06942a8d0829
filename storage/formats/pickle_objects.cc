// Opcodes that make containers, and those that name, "call" and build objects.
#include <string>
#include <vector>

#include "storage/base/utf8.h"
#include "storage/formats/pickle_interpreter.h"

namespace ballast {

// --- containers ---

template <size_t kCount>
absl::Status PickleInterpreter::TupleOf() {
  RETURN_IF_ERROR(Need(kCount));
  const auto values = stack_.above_mark();
  const PickleRef tuple = graph_.Tuple(values.last(kCount));
  stack_.Drop(kCount);
  return Push(tuple);
}

absl::Status PickleInterpreter::Tuple() {
  RETURN_IF_ERROR(NeedMark());
  const PickleRef tuple = graph_.Tuple(stack_.above_mark());
  stack_.DropMark();
  return Push(tuple);
}

template <PickleKind kKind>
absl::Status PickleInterpreter::FromMark() {
  RETURN_IF_ERROR(NeedMark());
  if (kKind == PickleKind::kDict && stack_.size() % 2 != 0) {
    return Malformed("DICT with an odd number of values");
  }
  const PickleRef made = graph_.Object(kKind);
  graph_.Append(made, stack_.above_mark());
  stack_.DropMark();
  return Push(made);
}

// A list takes values, a dict takes pairs, an instance takes either: its class
// may derive from one of them.
absl::Status PickleInterpreter::AddTo(PickleRef target, absl::Span<const PickleRef> items,
                                      bool pairs) {
  PickleObject* object = graph_.mutable_object(target);
  const PickleKind kind = graph_.kind(target);
  bool fits = kind == (pairs ? PickleKind::kDict : PickleKind::kList);
  if (kind == PickleKind::kInstance) fits = object->items.empty() || object->pairs == pairs;
  if (kind == PickleKind::kCall) {
    fits = !pairs && graph_.CalleeIs(target, "collections", "deque");
  }
  if (!fits) {
    return Malformed(Opcodes()[opcode_].name, " on a value of type ",
                     Printable(graph_.TypeName(target)));
  }
  if (pairs && items.size() % 2 != 0) {
    return Malformed(Opcodes()[opcode_].name, " with an odd number of values");
  }
  if (!items.empty()) object->pairs = pairs;
  graph_.Append(target, items);
  return absl::OkStatus();
}

absl::Status PickleInterpreter::Append() {
  RETURN_IF_ERROR(Need(2));
  const PickleRef value = stack_.Peek();
  RETURN_IF_ERROR(AddTo(stack_.Peek(1), {&value, 1}, false));
  stack_.Drop(1);
  return absl::OkStatus();
}

absl::Status PickleInterpreter::SetItem() {
  RETURN_IF_ERROR(Need(3));
  RETURN_IF_ERROR(AddTo(stack_.Peek(2), stack_.above_mark().last(2), true));
  stack_.Drop(2);
  return absl::OkStatus();
}

absl::Status PickleInterpreter::Appends() {
  RETURN_IF_ERROR(NeedMark());
  const std::vector<PickleRef> items(stack_.above_mark().begin(), stack_.above_mark().end());
  stack_.DropMark();
  RETURN_IF_ERROR(Need(1));
  return AddTo(stack_.Peek(), items, false);
}

absl::Status PickleInterpreter::SetItems() {
  RETURN_IF_ERROR(NeedMark());
  const std::vector<PickleRef> items(stack_.above_mark().begin(), stack_.above_mark().end());
  stack_.DropMark();
  RETURN_IF_ERROR(Need(1));
  return AddTo(stack_.Peek(), items, true);
}

absl::Status PickleInterpreter::AddItems() {
  RETURN_IF_ERROR(NeedMark());
  const std::vector<PickleRef> items(stack_.above_mark().begin(), stack_.above_mark().end());
  stack_.DropMark();
  RETURN_IF_ERROR(Need(1));
  if (!graph_.Is(stack_.Peek(), PickleKind::kSet)) {
    return Malformed("ADDITEMS on a value of type ", Printable(graph_.TypeName(stack_.Peek())));
  }
  graph_.Append(stack_.Peek(), items);
  return absl::OkStatus();
}

// --- globals and objects ---

absl::Status PickleInterpreter::CheckGlobal(const PickleGlobal& global) const {
  if (global.verdict != GlobalVerdict::kUnsafe) return absl::OkStatus();
  return UnsafeError("byte ", opcode_offset_, ": global is ", Printable(global.FullName()),
                     ", want none that runs code");
}

absl::StatusOr<PickleRef> PickleInterpreter::MakeGlobal(absl::string_view module,
                                                        absl::string_view name) {
  for (const absl::string_view part : {module, name}) {
    bool good = !part.empty() && part.size() <= kPickleNameBytesMax && IsUtf8(part);
    for (const char c : part) good = good && static_cast<unsigned char>(c) > 0x20 && c != 0x7F;
    if (!good) return Malformed("name of a global is ", Printable(part.substr(0, 64)));
  }
  const PickleRef ref = graph_.Global(module, name);
  const bool nested = module == kNestedFileModule && name == kNestedFileName;
  if (nested && nested_ == NestedFiles::kPlaced) graph_.Allow(ref);
  RETURN_IF_ERROR(CheckGlobal(graph_.global(ref)));
  return ref;
}

absl::Status PickleInterpreter::Global() {
  std::string module, name;
  if (!in_.Line(kPickleNameBytesMax, &module) || !in_.Line(kPickleNameBytesMax, &name))
    return in_.Error();
  ASSIGN_OR_RETURN(const PickleRef ref, MakeGlobal(module, name));
  return Push(ref);
}

absl::Status PickleInterpreter::StackGlobal() {
  RETURN_IF_ERROR(Need(2));
  const PickleRef module = stack_.Peek(1);
  const PickleRef name = stack_.Peek();
  if (!graph_.Is(module, PickleKind::kString) || !graph_.Is(name, PickleKind::kString)) {
    return Malformed("STACK_GLOBAL of something else than two strings");
  }
  ASSIGN_OR_RETURN(const PickleRef ref, MakeGlobal(graph_.text(module), graph_.text(name)));
  stack_.Drop(2);
  return Push(ref);
}

// OrderedDict(), OrderedDict([[k, v], …]), defaultdict(factory), Counter({…}) as the dict
// they make; kNoPickleRef for arguments that are none of these.
PickleRef PickleInterpreter::DictCall(PickleRef callee, PickleRef args) {
  const auto items = graph_.items(args);
  const bool factory =
      items.size() == 1 && (graph_.Is(items[0], PickleKind::kGlobal) || items[0] == graph_.None());
  std::vector<PickleRef> pairs;
  if (!items.empty() && !factory) {
    if (items.size() != 1) return kNoPickleRef;
    const PickleKind kind = graph_.kind(items[0]);
    if (kind == PickleKind::kDict) {
      const auto inner = graph_.items(items[0]);
      pairs.assign(inner.begin(), inner.end());
    } else if (kind == PickleKind::kList || kind == PickleKind::kTuple) {
      for (const PickleRef pair : graph_.items(items[0])) {
        if (!graph_.Is(pair, PickleKind::kTuple) && !graph_.Is(pair, PickleKind::kList)) {
          return kNoPickleRef;
        }
        const auto both = graph_.items(pair);
        if (both.size() != 2) return kNoPickleRef;
        pairs.insert(pairs.end(), both.begin(), both.end());
      }
    } else {
      return kNoPickleRef;
    }
  }
  const PickleRef dict = graph_.Object(PickleKind::kDict, callee);
  graph_.Append(dict, pairs);
  return dict;
}

PickleRef PickleInterpreter::MakeCall(PickleRef callee, PickleRef args) {
  const PickleGlobal& global = graph_.global(callee);
  if (IsDictClass(global.module, global.name)) {
    const PickleRef dict = DictCall(callee, args);
    if (dict != kNoPickleRef) return dict;
  }
  const auto items = graph_.items(args);
  if (global.name == "_reconstructor" && items.size() == 3 &&
      graph_.Is(items[0], PickleKind::kGlobal)) {
    return graph_.Object(PickleKind::kInstance, items[0], args);
  }
  return graph_.Object(PickleKind::kCall, callee, args);
}

absl::Status PickleInterpreter::Reduce() {
  RETURN_IF_ERROR(Need(2));
  const PickleRef args = stack_.Peek();
  const PickleRef callee = stack_.Peek(1);
  if (!graph_.Is(callee, PickleKind::kGlobal)) {
    return UnsafeError("byte ", opcode_offset_, ": REDUCE calls a value of type ",
                       Printable(graph_.TypeName(callee)), ", want a global");
  }
  const PickleGlobal& global = graph_.global(callee);
  if (global.verdict != GlobalVerdict::kAllowed) {
    return UnsafeError("byte ", opcode_offset_, ": pickle calls ", Printable(global.FullName()),
                       ", want only functions known to rebuild tensors and plain values");
  }
  if (!graph_.Is(args, PickleKind::kTuple)) return Malformed("REDUCE without a tuple");
  const PickleRef made = MakeCall(callee, args);
  stack_.Drop(2);
  return Push(made);
}

absl::StatusOr<PickleRef> PickleInterpreter::NewInstance(PickleRef cls, PickleRef args) {
  if (!graph_.Is(cls, PickleKind::kGlobal)) {
    return Malformed(Opcodes()[opcode_].name, " of a value of type ",
                     Printable(graph_.TypeName(cls)), ", want a class");
  }
  if (!graph_.Is(args, PickleKind::kTuple)) {
    return Malformed(Opcodes()[opcode_].name, " without a tuple");
  }
  const PickleGlobal& global = graph_.global(cls);
  const bool dict = IsDictClass(global.module, global.name) && graph_.items(args).empty();
  return graph_.Object(dict ? PickleKind::kDict : PickleKind::kInstance, cls, args);
}

absl::Status PickleInterpreter::NewObj() {
  RETURN_IF_ERROR(Need(2));
  ASSIGN_OR_RETURN(const PickleRef made, NewInstance(stack_.Peek(1), stack_.Peek()));
  stack_.Drop(2);
  return Push(made);
}

absl::Status PickleInterpreter::NewObjEx() {
  RETURN_IF_ERROR(Need(3));
  if (!graph_.Is(stack_.Peek(), PickleKind::kDict)) return Malformed("NEWOBJ_EX without a dict");
  ASSIGN_OR_RETURN(const PickleRef made, NewInstance(stack_.Peek(2), stack_.Peek(1)));
  stack_.Drop(3);
  return Push(made);
}

absl::Status PickleInterpreter::Build() {
  RETURN_IF_ERROR(Need(2));
  const PickleRef state = stack_.Peek();
  const PickleRef target = stack_.Peek(1);
  const PickleObject* object = graph_.object(target);
  if (object == nullptr || object->callee == kNoPickleRef) {
    return Malformed("BUILD on a value of type ", Printable(graph_.TypeName(target)));
  }
  if (object->state != kNoPickleRef) {
    return Malformed("BUILD twice on a value of type ", Printable(graph_.TypeName(target)));
  }
  graph_.SetState(target, state);
  stack_.Drop(1);
  return absl::OkStatus();
}

absl::Status PickleInterpreter::PersidText() {
  if (!in_.Line(kPickleNumberBytesMax, &scratch_)) return in_.Error();
  RETURN_IF_ERROR(PushString(PickleKind::kString, scratch_));
  return BinPersid();
}

// Old torch gives the class of a module as ("module", class, file, source), in a tar as
// (class, file, source): the class is what is meant, its source text is only a string.
// kNoPickleRef if the id is none of a class.
PickleRef PickleInterpreter::ClassOf(PickleRef id) const {
  if (!graph_.Is(id, PickleKind::kTuple)) return kNoPickleRef;
  auto items = graph_.items(id);
  if (class_ids_ == ClassIds::kModule) {
    if (items.empty() || !graph_.Is(items[0], PickleKind::kString) ||
        graph_.text(items[0]) != "module") {
      return kNoPickleRef;
    }
    items.remove_prefix(1);
  }
  const bool is_class = items.size() == 3 && graph_.Is(items[0], PickleKind::kGlobal);
  return is_class ? items[0] : kNoPickleRef;
}

absl::Status PickleInterpreter::BinPersid() {
  RETURN_IF_ERROR(Need(1));
  const PickleRef cls = ClassOf(stack_.Peek());
  const PickleRef value = cls != kNoPickleRef ? cls : graph_.Persistent(stack_.Peek());
  stack_.Drop(1);
  return Push(value);
}

absl::Status PickleInterpreter::RefuseCallingOpcode() {
  return UnsafeError("byte ", opcode_offset_, ": opcode ", Opcodes()[opcode_].name,
                     " constructs an object, want none that runs code");
}

absl::Status PickleInterpreter::Inst() {
  RETURN_IF_ERROR(Global());  // names an unsafe global before refusing the opcode itself
  return RefuseCallingOpcode();
}

void PickleInterpreter::AddObjects(Table* table) {
  (*table)['o'] = {"OBJ", &PickleInterpreter::RefuseCallingOpcode};
  (*table)['i'] = {"INST", &PickleInterpreter::Inst};
  (*table)[')'] = {"EMPTY_TUPLE", &PickleInterpreter::EmptyTuple};
  (*table)[']'] = {"EMPTY_LIST", &PickleInterpreter::EmptyList};
  (*table)['}'] = {"EMPTY_DICT", &PickleInterpreter::EmptyDict};
  (*table)[0x8f] = {"EMPTY_SET", &PickleInterpreter::EmptySet};
  (*table)['t'] = {"TUPLE", &PickleInterpreter::Tuple};
  (*table)[0x85] = {"TUPLE1", &PickleInterpreter::TupleOf<1>};
  (*table)[0x86] = {"TUPLE2", &PickleInterpreter::TupleOf<2>};
  (*table)[0x87] = {"TUPLE3", &PickleInterpreter::TupleOf<3>};
  (*table)['l'] = {"LIST", &PickleInterpreter::FromMark<PickleKind::kList>};
  (*table)['d'] = {"DICT", &PickleInterpreter::FromMark<PickleKind::kDict>};
  (*table)[0x91] = {"FROZENSET", &PickleInterpreter::FromMark<PickleKind::kSet>};
  (*table)['a'] = {"APPEND", &PickleInterpreter::Append};
  (*table)['e'] = {"APPENDS", &PickleInterpreter::Appends};
  (*table)['s'] = {"SETITEM", &PickleInterpreter::SetItem};
  (*table)['u'] = {"SETITEMS", &PickleInterpreter::SetItems};
  (*table)[0x90] = {"ADDITEMS", &PickleInterpreter::AddItems};
  (*table)['c'] = {"GLOBAL", &PickleInterpreter::Global};
  (*table)[0x93] = {"STACK_GLOBAL", &PickleInterpreter::StackGlobal};
  (*table)['R'] = {"REDUCE", &PickleInterpreter::Reduce};
  (*table)[0x81] = {"NEWOBJ", &PickleInterpreter::NewObj};
  (*table)[0x92] = {"NEWOBJ_EX", &PickleInterpreter::NewObjEx};
  (*table)['b'] = {"BUILD", &PickleInterpreter::Build};
  (*table)['P'] = {"PERSID", &PickleInterpreter::PersidText};
  (*table)['Q'] = {"BINPERSID", &PickleInterpreter::BinPersid};
}

}  // namespace ballast
