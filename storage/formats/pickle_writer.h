// Writes protocol 2 pickles, byte for byte as CPython's pickler does.
//
// Every string, tuple, dict, global and call result is put in the memo in the
// order of its completion; a global or an interned string that was written
// before is a memo reference.
//
// Source: CPython Modules/_pickle.c (save_global, save_unicode, batch_dict).
// Other: ints beyond 32 bits are LONG1 of 8 bytes.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_WRITER_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace ballast {

// Not thread-safe. The calls follow the stack machine: values first, then what
// is made of them.
class PickleWriter {
 public:
  PickleWriter();

  void None() { out_ += 'N'; }
  void Bool(bool value) { out_ += value ? '\x88' : '\x89'; }
  void Int(int64_t value);
  void Float(double value);
  void String(absl::string_view text);
  // A string that Python interns, or that is one object at all its uses.
  void Interned(absl::string_view text);
  void Global(absl::string_view module, absl::string_view name);
  // global(): the call of a global without arguments.
  void EmptyCall(absl::string_view module, absl::string_view name);
  void EmptyDict();
  void EmptyList();

  void Mark() { out_ += '('; }
  // The values since the mark (count of them, which needs no mark below 4).
  void Tuple(size_t count);
  void Reduce();
  void PersistentId() { out_ += 'Q'; }
  void Append() { out_ += 'a'; }
  void Appends() { out_ += 'e'; }
  void SetItem() { out_ += 's'; }
  void SetItems() { out_ += 'u'; }
  void Build() { out_ += 'b'; }
  // STOP; the pickle.
  std::string Finish();

 private:
  void Memoize();
  void Get(uint32_t index);

  std::string out_;
  uint32_t memo_ = 0;
  absl::flat_hash_map<std::string, uint32_t> known_;  // globals ("module name") and interned
};

// Calls `item(i)` for the count items of a dict on the stack, in batches as
// CPython groups them: one SETITEMS per 1000, SETITEM for a single one left.
template <typename F>
void WriteDictItems(size_t count, PickleWriter* writer, F item) {
  constexpr size_t kBatch = 1000;
  for (size_t begin = 0; begin < count; begin += kBatch) {
    const size_t end = count - begin < kBatch ? count : begin + kBatch;
    if (end - begin == 1) {
      item(begin);
      writer->SetItem();
      continue;
    }
    writer->Mark();
    for (size_t i = begin; i < end; ++i) item(i);
    writer->SetItems();
  }
}

// The same for an exact dict, whose batches end otherwise: a single item is SETITEM only if it
// is the dict's only one, and an empty batch follows a full one.
template <typename F>
void WritePlainDictItems(size_t count, PickleWriter* writer, F item) {
  constexpr size_t kBatch = 1000;
  if (count < 2) return WriteDictItems(count, writer, item);
  for (size_t begin = 0; begin <= count; begin += kBatch) {
    writer->Mark();
    for (size_t i = begin; i < count && i < begin + kBatch; ++i) item(i);
    writer->SetItems();
  }
}

// The same for the items of an exact list: APPENDS per 1000, APPEND for an only one.
template <typename F>
void WriteListItems(size_t count, PickleWriter* writer, F item) {
  constexpr size_t kBatch = 1000;
  if (count == 1) {
    item(0);
    return writer->Append();
  }
  for (size_t begin = 0; begin < count; begin += kBatch) {
    writer->Mark();
    for (size_t i = begin; i < count && i < begin + kBatch; ++i) item(i);
    writer->Appends();
  }
}

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_WRITER_H_
