// The fuzz targets. Each takes any bytes; it returns, or it has found something:
// a sanitizer's report, an abort from Require() (check.h), a hang, too much memory.
//
// The same functions run in three ways: under libFuzzer (entry.cc, one program a
// target), over the seeds, and over everything that was ever found (replay_test.cc).
#ifndef BALLAST_TESTS_FUZZ_TARGETS_H_
#define BALLAST_TESTS_FUZZ_TARGETS_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ballast::fuzz {

// A whole file, its format found by content.
void FuzzAuto(absl::string_view input);
// The first byte is 0: an archive. 1: what one is built from, honest or lying (zip_target.cc).
void FuzzZip(absl::string_view input);
// A pickle.
void FuzzPickle(absl::string_view input);
// A byte of options, then a pickle: set into a sound zip, TorchScript archive or stream
// that has every storage it names (objects_target.cc).
void FuzzObjects(absl::string_view input);
// A stream of torch.save before 1.6.
void FuzzLegacy(absl::string_view input);
// The first byte is 0: an archive. 1: one whose checksums are put right first. 2: the
// contents of its four members, each behind its length.
void FuzzTar(absl::string_view input);
// A file, read as module, tensor and optimizer; and as a module front to back.
void FuzzTorchSharp(absl::string_view input);
// The first byte is 0: a file. 1: JSON, for which length and data are made. Read both ways.
void FuzzSafetensors(absl::string_view input);
// Names of files in a line, then an index of shards.
void FuzzShards(absl::string_view input);
// Two bytes of size, then a deflate stream.
void FuzzInflate(absl::string_view input);
// Two schemas with a zero byte between them: one is compared with the tensors of the other.
void FuzzSchema(absl::string_view input);
// Lines: references, keys and rules for them (names_target.cc).
void FuzzNames(absl::string_view input);
// The first byte says which: a manifest, or a value of the catalog's records.
void FuzzStored(absl::string_view input);
// The first byte says which: pieces of a manifest or a report, a data message, or what an
// error carries.
void FuzzWire(absl::string_view input);

struct Target {
  absl::string_view name;
  void (*run)(absl::string_view input);
};
absl::Span<const Target> AllTargets();

}  // namespace ballast::fuzz

#endif  // BALLAST_TESTS_FUZZ_TARGETS_H_
