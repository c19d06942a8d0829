// The inside of pickle_machine.h: one handler per opcode, called through a table.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_INTERPRETER_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_INTERPRETER_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/base/limits.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_input.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pickle_stack.h"
#include "storage/formats/pickle_value.h"

namespace ballast {

inline constexpr size_t kPickleNameBytesMax = 256;     // a global's module or name
inline constexpr size_t kPickleNumberBytesMax = 4096;  // a number in text

// Runs one pickle; use it once. Not thread-safe.
class PickleInterpreter {
 public:
  PickleInterpreter(ByteStream* stream, const Limits& limits, ClassIds class_ids,
                    NestedFiles nested)
      : limits_(limits),
        class_ids_(class_ids),
        nested_(nested),
        in_(stream, limits.pickle_bytes_max) {}
  absl::StatusOr<PickleResult> Run();

 private:
  using Handler = absl::Status (PickleInterpreter::*)();
  struct Opcode {
    const char* name = nullptr;
    Handler run = nullptr;
  };
  using Table = std::array<Opcode, 256>;
  static const Table& Opcodes();
  // Each adds the rows of the handlers in its file.
  static void AddFraming(Table* table);  // pickle_machine.cc
  static void AddAtoms(Table* table);    // pickle_atoms.cc
  static void AddObjects(Table* table);  // pickle_objects.cc

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
  absl::Status PushText(PickleKind kind, absl::string_view stored, uint64_t offset);
  absl::Status PushInteger(absl::string_view little_endian);
  absl::Status PushLong(absl::string_view digits);
  absl::Status AddTo(PickleRef target, absl::Span<const PickleRef> items, bool pairs);
  absl::Status CheckGlobal(const PickleGlobal& global) const;
  absl::StatusOr<PickleRef> MakeGlobal(absl::string_view module, absl::string_view name);
  absl::StatusOr<PickleRef> NewInstance(PickleRef cls, PickleRef args);
  PickleRef ClassOf(PickleRef id) const;
  PickleRef DictCall(PickleRef callee, PickleRef args);
  PickleRef MakeCall(PickleRef callee, PickleRef args);
  template <typename... A>
  absl::Status Malformed(const A&... a) const {
    return MalformedError("byte ", opcode_offset_, ": ", a...);
  }

  const Limits& limits_;  // Must outlive this.
  const ClassIds class_ids_;
  const NestedFiles nested_;
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

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_INTERPRETER_H_
