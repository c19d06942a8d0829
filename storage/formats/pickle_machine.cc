#include "storage/formats/pickle_machine.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_interpreter.h"

namespace ballast {

const PickleInterpreter::Table& PickleInterpreter::Opcodes() {
  static const Table* const kTable = [] {
    auto* table = new Table;
    AddFraming(table);
    AddAtoms(table);
    AddObjects(table);
    return table;
  }();
  return *kTable;
}

absl::StatusOr<PickleResult> PickleInterpreter::Run() {
  while (!stopped_) RETURN_IF_ERROR(Step());
  PickleResult result;
  result.graph = std::move(graph_);
  result.size_bytes = in_.position();
  result.opcodes = opcodes_;
  return result;
}

absl::Status PickleInterpreter::Step() {
  opcode_offset_ = in_.position();
  if (!in_.Fixed(&opcode_)) return in_.Error();
  if (++opcodes_ > limits_.pickle_opcodes_max) {
    return LimitError("byte ", opcode_offset_, ": more than ", limits_.pickle_opcodes_max,
                      " opcodes, want at most pickle_opcodes_max");
  }
  const Handler run = Opcodes()[opcode_].run;
  if (run == nullptr) return Malformed("opcode is ", int{opcode_}, ", want one of protocols 0-5");
  RETURN_IF_ERROR((this->*run)());
  if (graph_.depth() > limits_.pickle_depth_max) {
    return LimitError("byte ", opcode_offset_, ": values are nested more than ",
                      limits_.pickle_depth_max, " levels deep, want at most pickle_depth_max");
  }
  if (graph_.memory_bytes() + stack_.memory_bytes() + memo_.memory_bytes() >
      limits_.pickle_memory_bytes_max) {
    return LimitError("byte ", opcode_offset_, ": objects take more than ",
                      limits_.pickle_memory_bytes_max,
                      " bytes, want at most pickle_memory_bytes_max");
  }
  return absl::OkStatus();
}

absl::Status PickleInterpreter::Push(PickleRef ref) {
  stack_.Push(ref);
  return absl::OkStatus();
}

absl::Status PickleInterpreter::Need(size_t count) const {
  if (stack_.size() >= count) return absl::OkStatus();
  return Malformed(Opcodes()[opcode_].name, " finds ", stack_.size(), " values on the stack, want ",
                   count);
}

absl::Status PickleInterpreter::NeedMark() const {
  if (stack_.has_mark()) return absl::OkStatus();
  return Malformed(Opcodes()[opcode_].name, " without a MARK");
}

// --- framing ---

absl::Status PickleInterpreter::Proto() {
  uint8_t version = 0;
  if (!in_.Fixed(&version)) return in_.Error();
  if (version > 5) return Malformed("pickle protocol is ", int{version}, ", want 0 to 5");
  if (opcode_offset_ != 0) return Malformed("PROTO in the middle of the pickle");
  graph_.set_protocol(version);
  return absl::OkStatus();
}

absl::Status PickleInterpreter::Frame() {
  uint64_t size = 0;
  if (!in_.Fixed(&size)) return in_.Error();
  if (size > limits_.pickle_bytes_max) return Malformed("frame of ", size, " bytes");
  return absl::OkStatus();
}

absl::Status PickleInterpreter::Stop() {
  if (stack_.has_mark()) return Malformed("STOP with a MARK left on the stack");
  if (stack_.size() != 1) {
    return Malformed("STOP with ", stack_.size(), " values on the stack, want 1");
  }
  graph_.set_root(stack_.Peek());
  stopped_ = true;
  return absl::OkStatus();
}

absl::Status PickleInterpreter::RefuseOutside() {
  return UnsupportedError("byte ", opcode_offset_, ": opcode ", Opcodes()[opcode_].name,
                          " refers to something outside the pickle");
}

// --- stack and memo ---

absl::Status PickleInterpreter::Pop() {
  if (stack_.size() == 0 && stack_.has_mark()) {
    stack_.DropMark();
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Need(1));
  stack_.Drop(1);
  return absl::OkStatus();
}

absl::Status PickleInterpreter::PopMark() {
  RETURN_IF_ERROR(NeedMark());
  stack_.DropMark();
  return absl::OkStatus();
}

absl::Status PickleInterpreter::Dup() {
  RETURN_IF_ERROR(Need(1));
  return Push(stack_.Peek());
}

absl::Status PickleInterpreter::Mark() {
  stack_.Mark();
  if (stack_.marks() <= limits_.pickle_depth_max) return absl::OkStatus();
  return LimitError("byte ", opcode_offset_, ": more than ", limits_.pickle_depth_max,
                    " MARKs are open, want at most pickle_depth_max");
}

absl::Status PickleInterpreter::PutAt(uint64_t index) {
  RETURN_IF_ERROR(Need(1));
  memo_.Put(index, stack_.Peek());
  return absl::OkStatus();
}

absl::Status PickleInterpreter::PushMemo(uint64_t index) {
  const PickleRef ref = memo_.Get(index);
  if (ref == kNoPickleRef) return Malformed("memo ", index, " was never put");
  return Push(ref);
}

absl::Status PickleInterpreter::PutText() {
  uint64_t index = 0;
  if (!in_.Line(kPickleNumberBytesMax, &scratch_)) return in_.Error();
  if (!absl::SimpleAtoi(scratch_, &index)) return Malformed("PUT of a bad index");
  return PutAt(index);
}

absl::Status PickleInterpreter::GetText() {
  uint64_t index = 0;
  if (!in_.Line(kPickleNumberBytesMax, &scratch_)) return in_.Error();
  if (!absl::SimpleAtoi(scratch_, &index)) return Malformed("GET of a bad index");
  return PushMemo(index);
}

template <typename T>
absl::Status PickleInterpreter::Put() {
  T index = 0;
  if (!in_.Fixed(&index)) return in_.Error();
  return PutAt(index);
}

template <typename T>
absl::Status PickleInterpreter::Get() {
  T index = 0;
  if (!in_.Fixed(&index)) return in_.Error();
  return PushMemo(index);
}

absl::Status PickleInterpreter::Memoize() { return PutAt(memo_.size()); }

void PickleInterpreter::AddFraming(Table* table) {
  (*table)[0x80] = {"PROTO", &PickleInterpreter::Proto};
  (*table)[0x95] = {"FRAME", &PickleInterpreter::Frame};
  (*table)['.'] = {"STOP", &PickleInterpreter::Stop};
  (*table)[0x82] = {"EXT1", &PickleInterpreter::RefuseOutside};
  (*table)[0x83] = {"EXT2", &PickleInterpreter::RefuseOutside};
  (*table)[0x84] = {"EXT4", &PickleInterpreter::RefuseOutside};
  (*table)[0x97] = {"NEXT_BUFFER", &PickleInterpreter::RefuseOutside};
  (*table)[0x98] = {"READONLY_BUFFER", &PickleInterpreter::RefuseOutside};
  (*table)['0'] = {"POP", &PickleInterpreter::Pop};
  (*table)['1'] = {"POP_MARK", &PickleInterpreter::PopMark};
  (*table)['2'] = {"DUP", &PickleInterpreter::Dup};
  (*table)['('] = {"MARK", &PickleInterpreter::Mark};
  (*table)['p'] = {"PUT", &PickleInterpreter::PutText};
  (*table)['q'] = {"BINPUT", &PickleInterpreter::Put<uint8_t>};
  (*table)['r'] = {"LONG_BINPUT", &PickleInterpreter::Put<uint32_t>};
  (*table)['g'] = {"GET", &PickleInterpreter::GetText};
  (*table)['h'] = {"BINGET", &PickleInterpreter::Get<uint8_t>};
  (*table)['j'] = {"LONG_BINGET", &PickleInterpreter::Get<uint32_t>};
  (*table)[0x94] = {"MEMOIZE", &PickleInterpreter::Memoize};
}

absl::StatusOr<PickleResult> RunPickle(ByteStream* stream, const Limits& limits, ClassIds class_ids,
                                       NestedFiles nested) {
  return PickleInterpreter(stream, limits, class_ids, nested).Run();
}

absl::StatusOr<PickleResult> RunPickle(absl::string_view bytes, const Limits& limits) {
  ViewStream stream(bytes);
  return RunPickle(&stream, limits);
}

}  // namespace ballast
