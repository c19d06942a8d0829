#include "storage/formats/pickle_machine.h"

#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/formats/pickle_input.h"
#include "storage/formats/pickle_stack.h"
#include "storage/formats/pickle_text.h"

namespace ballast {
namespace {

constexpr size_t kNameBytesMax = 256;     // a GLOBAL's module or name
constexpr size_t kNumberBytesMax = 4096;  // a number in text

class Machine {
 public:
  Machine(ByteStream* stream, const Limits& limits)
      : limits_(limits), in_(stream, limits.pickle_bytes_max) {}
  absl::StatusOr<PickleResult> Run();

 private:
  using Handler = absl::Status (Machine::*)();
  struct Opcode {
    const char* name = nullptr;
    Handler run = nullptr;
  };
  using Table = std::array<Opcode, 256>;
  static const Table& Opcodes();

  // --- framing and refusals ---
  absl::Status Proto();
  absl::Status Frame();
  absl::Status Stop();
  absl::Status RefuseCallingOpcode();
  absl::Status RefuseOutside();
  absl::Status Inst();

  // --- stack and memo ---
  absl::Status Pop();
  absl::Status PopMark();
  absl::Status Dup();
  absl::Status Mark();
  absl::Status PutText();
  absl::Status GetText();
  template <typename T>
  absl::Status Put();
  template <typename T>
  absl::Status Get();
  absl::Status Memoize();

  // --- atoms ---
  absl::Status None() { return Push(graph_.None()); }
  absl::Status True() { return Push(graph_.Bool(true)); }
  absl::Status False() { return Push(graph_.Bool(false)); }
  template <typename T>
  absl::Status Integer();
  template <typename T>
  absl::Status Long();
  absl::Status IntText();
  absl::Status LongText();
  absl::Status BinFloat();
  absl::Status FloatText();
  template <typename T, PickleKind kKind>
  absl::Status Text();
  absl::Status QuotedText();
  absl::Status UnicodeText();

  // --- containers ---
  absl::Status EmptyTuple() { return Push(graph_.Tuple({})); }
  absl::Status EmptyList() { return Push(graph_.Object(PickleKind::kList)); }
  absl::Status EmptyDict() { return Push(graph_.Object(PickleKind::kDict)); }
  absl::Status EmptySet() { return Push(graph_.Object(PickleKind::kSet)); }
  template <size_t kCount>
  absl::Status TupleOf();
  absl::Status Tuple();
  template <PickleKind kKind>
  absl::Status FromMark();
  absl::Status Append();
  absl::Status Appends();
  absl::Status SetItem();
  absl::Status SetItems();
  absl::Status AddItems();

  // --- globals and objects ---
  absl::Status Global();
  absl::Status StackGlobal();
  absl::Status Reduce();
  absl::Status NewObj();
  absl::Status NewObjEx();
  absl::Status Build();
  absl::Status PersidText();
  absl::Status BinPersid();

  absl::Status Step();
  absl::Status Push(PickleRef ref);
  absl::Status Need(size_t count) const;
  absl::Status NeedMark() const;
  absl::Status PutAt(uint64_t index);
  absl::Status PushMemo(uint64_t index);
  absl::Status PushString(PickleKind kind, absl::string_view text);
  absl::Status PushInteger(absl::string_view little_endian);
  absl::Status AddTo(PickleRef target, absl::Span<const PickleRef> items, bool pairs);
  absl::Status CheckGlobal(const PickleGlobal& global) const;
  absl::StatusOr<PickleRef> MakeGlobal(absl::string_view module, absl::string_view name);
  absl::StatusOr<PickleRef> NewInstance(PickleRef cls, PickleRef args);
  PickleRef DictCall(PickleRef callee, PickleRef args);
  PickleRef MakeCall(PickleRef callee, PickleRef args);
  template <typename... A>
  absl::Status Malformed(const A&... a) const {
    return MalformedError("byte ", opcode_offset_, ": ", a...);
  }

  const Limits& limits_;
  PickleInput in_;
  PickleGraph graph_;
  PickleStack stack_;
  PickleMemo memo_;
  std::string scratch_;
  uint64_t opcode_offset_ = 0;
  uint64_t opcodes_ = 0;
  uint8_t opcode_ = 0;
  bool stopped_ = false;
};

const Machine::Table& Machine::Opcodes() {
  static const Table* const kTable = [] {
    auto* t = new Table;
    const auto set = [t](int code, const char* name, Handler run) { (*t)[code] = {name, run}; };
    set(0x80, "PROTO", &Machine::Proto);
    set(0x95, "FRAME", &Machine::Frame);
    set('.', "STOP", &Machine::Stop);
    set('o', "OBJ", &Machine::RefuseCallingOpcode);
    set('i', "INST", &Machine::Inst);
    set(0x82, "EXT1", &Machine::RefuseOutside);
    set(0x83, "EXT2", &Machine::RefuseOutside);
    set(0x84, "EXT4", &Machine::RefuseOutside);
    set(0x97, "NEXT_BUFFER", &Machine::RefuseOutside);
    set(0x98, "READONLY_BUFFER", &Machine::RefuseOutside);
    set('0', "POP", &Machine::Pop);
    set('1', "POP_MARK", &Machine::PopMark);
    set('2', "DUP", &Machine::Dup);
    set('(', "MARK", &Machine::Mark);
    set('p', "PUT", &Machine::PutText);
    set('q', "BINPUT", &Machine::Put<uint8_t>);
    set('r', "LONG_BINPUT", &Machine::Put<uint32_t>);
    set('g', "GET", &Machine::GetText);
    set('h', "BINGET", &Machine::Get<uint8_t>);
    set('j', "LONG_BINGET", &Machine::Get<uint32_t>);
    set(0x94, "MEMOIZE", &Machine::Memoize);
    set('N', "NONE", &Machine::None);
    set(0x88, "NEWTRUE", &Machine::True);
    set(0x89, "NEWFALSE", &Machine::False);
    set('K', "BININT1", &Machine::Integer<uint8_t>);
    set('M', "BININT2", &Machine::Integer<uint16_t>);
    set('J', "BININT", &Machine::Integer<int32_t>);
    set(0x8a, "LONG1", &Machine::Long<uint8_t>);
    set(0x8b, "LONG4", &Machine::Long<uint32_t>);
    set('I', "INT", &Machine::IntText);
    set('L', "LONG", &Machine::LongText);
    set('G', "BINFLOAT", &Machine::BinFloat);
    set('F', "FLOAT", &Machine::FloatText);
    set('S', "STRING", &Machine::QuotedText);
    set('V', "UNICODE", &Machine::UnicodeText);
    set('U', "SHORT_BINSTRING", &Machine::Text<uint8_t, PickleKind::kString>);
    set('T', "BINSTRING", &Machine::Text<uint32_t, PickleKind::kString>);
    set(0x8c, "SHORT_BINUNICODE", &Machine::Text<uint8_t, PickleKind::kString>);
    set('X', "BINUNICODE", &Machine::Text<uint32_t, PickleKind::kString>);
    set(0x8d, "BINUNICODE8", &Machine::Text<uint64_t, PickleKind::kString>);
    set('C', "SHORT_BINBYTES", &Machine::Text<uint8_t, PickleKind::kBytes>);
    set('B', "BINBYTES", &Machine::Text<uint32_t, PickleKind::kBytes>);
    set(0x8e, "BINBYTES8", &Machine::Text<uint64_t, PickleKind::kBytes>);
    set(0x96, "BYTEARRAY8", &Machine::Text<uint64_t, PickleKind::kBytes>);
    set(')', "EMPTY_TUPLE", &Machine::EmptyTuple);
    set(']', "EMPTY_LIST", &Machine::EmptyList);
    set('}', "EMPTY_DICT", &Machine::EmptyDict);
    set(0x8f, "EMPTY_SET", &Machine::EmptySet);
    set('t', "TUPLE", &Machine::Tuple);
    set(0x85, "TUPLE1", &Machine::TupleOf<1>);
    set(0x86, "TUPLE2", &Machine::TupleOf<2>);
    set(0x87, "TUPLE3", &Machine::TupleOf<3>);
    set('l', "LIST", &Machine::FromMark<PickleKind::kList>);
    set('d', "DICT", &Machine::FromMark<PickleKind::kDict>);
    set(0x91, "FROZENSET", &Machine::FromMark<PickleKind::kSet>);
    set('a', "APPEND", &Machine::Append);
    set('e', "APPENDS", &Machine::Appends);
    set('s', "SETITEM", &Machine::SetItem);
    set('u', "SETITEMS", &Machine::SetItems);
    set(0x90, "ADDITEMS", &Machine::AddItems);
    set('c', "GLOBAL", &Machine::Global);
    set(0x93, "STACK_GLOBAL", &Machine::StackGlobal);
    set('R', "REDUCE", &Machine::Reduce);
    set(0x81, "NEWOBJ", &Machine::NewObj);
    set(0x92, "NEWOBJ_EX", &Machine::NewObjEx);
    set('b', "BUILD", &Machine::Build);
    set('P', "PERSID", &Machine::PersidText);
    set('Q', "BINPERSID", &Machine::BinPersid);
    return t;
  }();
  return *kTable;
}

absl::StatusOr<PickleResult> Machine::Run() {
  while (!stopped_) RETURN_IF_ERROR(Step());
  PickleResult result;
  result.graph = std::move(graph_);
  result.size_bytes = in_.position();
  result.opcodes = opcodes_;
  return result;
}

absl::Status Machine::Step() {
  opcode_offset_ = in_.position();
  if (!in_.Fixed(&opcode_)) return in_.Error();
  if (++opcodes_ > limits_.pickle_opcodes_max) {
    return LimitError("byte ", opcode_offset_, ": more than ", limits_.pickle_opcodes_max,
                      " opcodes, want at most pickle_opcodes_max");
  }
  const Handler run = Opcodes()[opcode_].run;
  if (run == nullptr) return Malformed("opcode is ", int{opcode_}, ", want one of protocols 0-5");
  RETURN_IF_ERROR((this->*run)());
  if (graph_.memory_bytes() + stack_.memory_bytes() + memo_.memory_bytes() >
      limits_.pickle_memory_bytes_max) {
    return LimitError("byte ", opcode_offset_, ": objects take more than ",
                      limits_.pickle_memory_bytes_max,
                      " bytes, want at most pickle_memory_bytes_max");
  }
  return absl::OkStatus();
}

absl::Status Machine::Push(PickleRef ref) {
  stack_.Push(ref);
  return absl::OkStatus();
}

absl::Status Machine::Need(size_t count) const {
  if (stack_.size() >= count) return absl::OkStatus();
  return Malformed(Opcodes()[opcode_].name, " finds ", stack_.size(), " values on the stack, want ",
                   count);
}

absl::Status Machine::NeedMark() const {
  if (stack_.has_mark()) return absl::OkStatus();
  return Malformed(Opcodes()[opcode_].name, " without a MARK");
}

// --- framing and refusals ---

absl::Status Machine::Proto() {
  uint8_t version = 0;
  if (!in_.Fixed(&version)) return in_.Error();
  if (version > 5) return Malformed("pickle protocol is ", int{version}, ", want 0 to 5");
  if (opcode_offset_ != 0) return Malformed("PROTO in the middle of the pickle");
  return absl::OkStatus();
}

absl::Status Machine::Frame() {
  uint64_t size = 0;
  if (!in_.Fixed(&size)) return in_.Error();
  if (size > limits_.pickle_bytes_max) return Malformed("frame of ", size, " bytes");
  return absl::OkStatus();
}

absl::Status Machine::Stop() {
  if (stack_.has_mark()) return Malformed("STOP with a MARK left on the stack");
  if (stack_.size() != 1) {
    return Malformed("STOP with ", stack_.size(), " values on the stack, want 1");
  }
  graph_.set_root(stack_.Peek());
  stopped_ = true;
  return absl::OkStatus();
}

absl::Status Machine::RefuseCallingOpcode() {
  return UnsafeError("byte ", opcode_offset_, ": opcode ", Opcodes()[opcode_].name,
                     " constructs an object, want none that runs code");
}

absl::Status Machine::RefuseOutside() {
  return UnsupportedError("byte ", opcode_offset_, ": opcode ", Opcodes()[opcode_].name,
                          " refers to something outside the pickle");
}

absl::Status Machine::Inst() {
  RETURN_IF_ERROR(Global());  // names an unsafe global before refusing the opcode itself
  return RefuseCallingOpcode();
}

// --- stack and memo ---

absl::Status Machine::Pop() {
  if (stack_.size() == 0 && stack_.has_mark()) {
    stack_.DropMark();
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Need(1));
  stack_.Drop(1);
  return absl::OkStatus();
}

absl::Status Machine::PopMark() {
  RETURN_IF_ERROR(NeedMark());
  stack_.DropMark();
  return absl::OkStatus();
}

absl::Status Machine::Dup() {
  RETURN_IF_ERROR(Need(1));
  return Push(stack_.Peek());
}

absl::Status Machine::Mark() {
  stack_.Mark();
  return absl::OkStatus();
}

absl::Status Machine::PutAt(uint64_t index) {
  RETURN_IF_ERROR(Need(1));
  memo_.Put(index, stack_.Peek());
  return absl::OkStatus();
}

absl::Status Machine::PushMemo(uint64_t index) {
  const PickleRef ref = memo_.Get(index);
  if (ref == kNoPickleRef) return Malformed("memo ", index, " was never put");
  return Push(ref);
}

absl::Status Machine::PutText() {
  uint64_t index = 0;
  if (!in_.Line(kNumberBytesMax, &scratch_)) return in_.Error();
  if (!absl::SimpleAtoi(scratch_, &index)) return Malformed("PUT of a bad index");
  return PutAt(index);
}

absl::Status Machine::GetText() {
  uint64_t index = 0;
  if (!in_.Line(kNumberBytesMax, &scratch_)) return in_.Error();
  if (!absl::SimpleAtoi(scratch_, &index)) return Malformed("GET of a bad index");
  return PushMemo(index);
}

template <typename T>
absl::Status Machine::Put() {
  T index = 0;
  if (!in_.Fixed(&index)) return in_.Error();
  return PutAt(index);
}

template <typename T>
absl::Status Machine::Get() {
  T index = 0;
  if (!in_.Fixed(&index)) return in_.Error();
  return PushMemo(index);
}

absl::Status Machine::Memoize() { return PutAt(memo_.size()); }

// --- atoms ---

template <typename T>
absl::Status Machine::Integer() {
  T value = 0;
  if (!in_.Fixed(&value)) return in_.Error();
  return Push(graph_.Int(value));
}

// Two's complement, little-endian; longer forms are fine while the value fits.
absl::Status Machine::PushInteger(absl::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  const char fill = negative ? '\xff' : '\0';
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    if (i >= 8 && bytes[i] != fill) return Push(graph_.Long());
    value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  }
  const bool sign = (value >> 63) != 0;
  if (sign != negative) return Push(graph_.Long());
  return Push(graph_.Int(static_cast<int64_t>(value)));
}

template <typename T>
absl::Status Machine::Long() {
  T size = 0;
  if (!in_.Fixed(&size)) return in_.Error();
  scratch_.clear();
  if (!in_.Append(size, &scratch_)) return in_.Error();
  return PushInteger(scratch_);
}

absl::Status Machine::IntText() {
  if (!in_.Line(kNumberBytesMax, &scratch_)) return in_.Error();
  if (scratch_ == "00" || scratch_ == "01") return Push(graph_.Bool(scratch_ == "01"));
  int64_t value = 0;
  absl::string_view text = absl::StripSuffix(scratch_, "\r");
  if (!IsDecimal(text)) return Malformed("INT is not a decimal number");
  return Push(absl::SimpleAtoi(text, &value) ? graph_.Int(value) : graph_.Long());
}

absl::Status Machine::LongText() {
  if (!in_.Line(kNumberBytesMax, &scratch_)) return in_.Error();
  absl::string_view text = scratch_;
  if (!text.empty() && text.back() == 'L') text.remove_suffix(1);
  if (!IsDecimal(text)) return Malformed("LONG is not a decimal number");
  int64_t value = 0;
  return Push(absl::SimpleAtoi(text, &value) ? graph_.Int(value) : graph_.Long());
}

absl::Status Machine::BinFloat() {
  char raw[8];
  if (!in_.Copy(sizeof(raw), raw)) return in_.Error();
  uint64_t bits = 0;
  for (const char c : raw) bits = (bits << 8) | static_cast<unsigned char>(c);
  double value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return Push(graph_.Float(value));
}

absl::Status Machine::FloatText() {
  if (!in_.Line(kNumberBytesMax, &scratch_)) return in_.Error();
  double value = 0;
  if (!absl::SimpleAtod(scratch_, &value)) return Malformed("FLOAT is not a number");
  return Push(graph_.Float(value));
}

template <typename T, PickleKind kKind>
absl::Status Machine::Text() {
  T size = 0;
  if (!in_.Fixed(&size)) return in_.Error();
  if (size > in_.buffered()) {
    scratch_.clear();
    if (!in_.Append(size, &scratch_)) return in_.Error();
    return PushString(kKind, scratch_);
  }
  char* stored = graph_.NewText(size);
  if (!in_.Copy(size, stored)) return in_.Error();
  return Push(graph_.Text(kKind, absl::string_view(stored, size)));
}

absl::Status Machine::PushString(PickleKind kind, absl::string_view text) {
  char* stored = graph_.NewText(text.size());
  std::memcpy(stored, text.data(), text.size());
  return Push(graph_.Text(kind, absl::string_view(stored, text.size())));
}

absl::Status Machine::QuotedText() {
  if (!in_.Line(limits_.pickle_bytes_max, &scratch_)) return in_.Error();
  const auto text = ParsePythonString(scratch_);
  if (!text.has_value()) return Malformed("STRING is not a quoted Python string");
  return PushString(PickleKind::kString, *text);
}

absl::Status Machine::UnicodeText() {
  if (!in_.Line(limits_.pickle_bytes_max, &scratch_)) return in_.Error();
  const auto text = ParseRawUnicode(scratch_);
  if (!text.has_value()) return Malformed("UNICODE has a bad escape");
  return PushString(PickleKind::kString, *text);
}

// --- containers ---

template <size_t kCount>
absl::Status Machine::TupleOf() {
  RETURN_IF_ERROR(Need(kCount));
  const auto values = stack_.above_mark();
  const PickleRef tuple = graph_.Tuple(values.last(kCount));
  stack_.Drop(kCount);
  return Push(tuple);
}

absl::Status Machine::Tuple() {
  RETURN_IF_ERROR(NeedMark());
  const PickleRef tuple = graph_.Tuple(stack_.above_mark());
  stack_.DropMark();
  return Push(tuple);
}

template <PickleKind kKind>
absl::Status Machine::FromMark() {
  RETURN_IF_ERROR(NeedMark());
  if (kKind == PickleKind::kDict && stack_.size() % 2 != 0) {
    return Malformed("DICT with an odd number of values");
  }
  const PickleRef made = graph_.Object(kKind);
  graph_.Append(graph_.mutable_object(made), stack_.above_mark());
  stack_.DropMark();
  return Push(made);
}

// A list takes values, a dict takes pairs, an instance takes either: its class
// may derive from one of them.
absl::Status Machine::AddTo(PickleRef target, absl::Span<const PickleRef> items, bool pairs) {
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
  graph_.Append(object, items);
  return absl::OkStatus();
}

absl::Status Machine::Append() {
  RETURN_IF_ERROR(Need(2));
  const PickleRef value = stack_.Peek();
  RETURN_IF_ERROR(AddTo(stack_.Peek(1), {&value, 1}, false));
  stack_.Drop(1);
  return absl::OkStatus();
}

absl::Status Machine::SetItem() {
  RETURN_IF_ERROR(Need(3));
  RETURN_IF_ERROR(AddTo(stack_.Peek(2), stack_.above_mark().last(2), true));
  stack_.Drop(2);
  return absl::OkStatus();
}

absl::Status Machine::Appends() {
  RETURN_IF_ERROR(NeedMark());
  const std::vector<PickleRef> items(stack_.above_mark().begin(), stack_.above_mark().end());
  stack_.DropMark();
  RETURN_IF_ERROR(Need(1));
  return AddTo(stack_.Peek(), items, false);
}

absl::Status Machine::SetItems() {
  RETURN_IF_ERROR(NeedMark());
  const std::vector<PickleRef> items(stack_.above_mark().begin(), stack_.above_mark().end());
  stack_.DropMark();
  RETURN_IF_ERROR(Need(1));
  return AddTo(stack_.Peek(), items, true);
}

absl::Status Machine::AddItems() {
  RETURN_IF_ERROR(NeedMark());
  const std::vector<PickleRef> items(stack_.above_mark().begin(), stack_.above_mark().end());
  stack_.DropMark();
  RETURN_IF_ERROR(Need(1));
  if (!graph_.Is(stack_.Peek(), PickleKind::kSet)) {
    return Malformed("ADDITEMS on a value of type ", Printable(graph_.TypeName(stack_.Peek())));
  }
  graph_.Append(graph_.mutable_object(stack_.Peek()), items);
  return absl::OkStatus();
}

// --- globals and objects ---

absl::Status Machine::CheckGlobal(const PickleGlobal& global) const {
  if (global.verdict != GlobalVerdict::kUnsafe) return absl::OkStatus();
  return UnsafeError("byte ", opcode_offset_, ": global is ", Printable(global.FullName()),
                     ", want none that runs code");
}

absl::StatusOr<PickleRef> Machine::MakeGlobal(absl::string_view module, absl::string_view name) {
  for (const absl::string_view part : {module, name}) {
    bool good = !part.empty() && part.size() <= kNameBytesMax && IsUtf8(part);
    for (const char c : part) good = good && static_cast<unsigned char>(c) > 0x20 && c != 0x7F;
    if (!good) return Malformed("name of a global is ", Printable(part.substr(0, 64)));
  }
  const PickleRef ref = graph_.Global(module, name);
  RETURN_IF_ERROR(CheckGlobal(graph_.global(ref)));
  return ref;
}

absl::Status Machine::Global() {
  std::string module, name;
  if (!in_.Line(kNameBytesMax, &module) || !in_.Line(kNameBytesMax, &name)) return in_.Error();
  ASSIGN_OR_RETURN(const PickleRef ref, MakeGlobal(module, name));
  return Push(ref);
}

absl::Status Machine::StackGlobal() {
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
PickleRef Machine::DictCall(PickleRef callee, PickleRef args) {
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
  graph_.Append(graph_.mutable_object(dict), pairs);
  return dict;
}

PickleRef Machine::MakeCall(PickleRef callee, PickleRef args) {
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

absl::Status Machine::Reduce() {
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

absl::StatusOr<PickleRef> Machine::NewInstance(PickleRef cls, PickleRef args) {
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

absl::Status Machine::NewObj() {
  RETURN_IF_ERROR(Need(2));
  ASSIGN_OR_RETURN(const PickleRef made, NewInstance(stack_.Peek(1), stack_.Peek()));
  stack_.Drop(2);
  return Push(made);
}

absl::Status Machine::NewObjEx() {
  RETURN_IF_ERROR(Need(3));
  if (!graph_.Is(stack_.Peek(), PickleKind::kDict)) return Malformed("NEWOBJ_EX without a dict");
  ASSIGN_OR_RETURN(const PickleRef made, NewInstance(stack_.Peek(2), stack_.Peek(1)));
  stack_.Drop(3);
  return Push(made);
}

absl::Status Machine::Build() {
  RETURN_IF_ERROR(Need(2));
  const PickleRef state = stack_.Peek();
  const PickleRef target = stack_.Peek(1);
  PickleObject* object = graph_.mutable_object(target);
  if (object == nullptr || object->callee == kNoPickleRef) {
    return Malformed("BUILD on a value of type ", Printable(graph_.TypeName(target)));
  }
  if (object->state != kNoPickleRef) {
    return Malformed("BUILD twice on a value of type ", Printable(graph_.TypeName(target)));
  }
  object->state = state;
  stack_.Drop(1);
  return absl::OkStatus();
}

absl::Status Machine::PersidText() {
  if (!in_.Line(kNumberBytesMax, &scratch_)) return in_.Error();
  RETURN_IF_ERROR(PushString(PickleKind::kString, scratch_));
  return BinPersid();
}

absl::Status Machine::BinPersid() {
  RETURN_IF_ERROR(Need(1));
  const PickleRef id = graph_.Persistent(stack_.Peek());
  stack_.Drop(1);
  return Push(id);
}

}  // namespace

absl::StatusOr<PickleResult> RunPickle(ByteStream* stream, const Limits& limits) {
  return Machine(stream, limits).Run();
}

absl::StatusOr<PickleResult> RunPickle(absl::string_view bytes, const Limits& limits) {
  ViewStream stream(bytes);
  return RunPickle(&stream, limits);
}

}  // namespace ballast
