// Streams and tar archives of old torch.save by hand, right or wrong in every place.
#ifndef BALLAST_TESTS_FORMATS_PYTORCH_LEGACY_TESTING_H_
#define BALLAST_TESTS_FORMATS_PYTORCH_LEGACY_TESTING_H_

#include <string>
#include <utility>
#include <vector>

#include "tests/formats/pytorch/pickle_testing.h"

namespace ballast {

// --- the stream ---

// ("storage", class, key, location, numel, view); `view` is None or a tuple.
inline std::string LegacyPid(absl::string_view key, int64_t numel, const std::string& view = "N",
                             absl::string_view storage_class = "FloatStorage",
                             absl::string_view module = "torch") {
  return TupleOf({Str("storage"), Glob(module, storage_class), Str(key), Str("cpu"), Num(numel),
                  view}) +
         "Q";
}

inline std::string LegacyView(absl::string_view key, int64_t offset, int64_t size) {
  return TupleOf({Str(key), Num(offset), Num(size)});
}

// float32 [4] in storage "10", or of the storage given.
inline std::string LegacyFloats(const std::string& storage = LegacyPid("10", 4)) {
  return V2{.storage = storage}.Call();
}

// numel and data.
inline std::string LegacyData(const std::string& bytes, size_t element_bytes = 4) {
  return Le(bytes.size() / element_bytes, 8) + bytes;
}

// What a stream consists of; change a member to make it wrong.
struct LegacyParts {
  std::string magic = Hex("8002 8a0a6cfc9c46f9206aa850192e");
  std::string version = Hex("8002 4de9032e");
  std::string system =
      Pickled(DictOf({Str("protocol_version"), Num(1001), Str("little_endian"), "\x88"}));
  std::string object = DictOf({Str("w"), LegacyFloats()});
  std::string keys = ListOf({Str("10")});
  std::string data = LegacyData(std::string(16, 'x'));
  std::string after = "";

  std::string File() const {
    return absl::StrCat(magic, version, system, Pickled(object), Pickled(keys), data, after);
  }
};

// --- the tar ---

struct TarPart {
  std::string name;
  std::string data;
  char type = '0';
  std::string prefix = "";
};

inline std::string Padded(std::string bytes, size_t to = 512) {
  bytes.resize((bytes.size() + to - 1) / to * to);
  return bytes;
}

inline std::string Octal(uint64_t value, size_t digits) {
  std::string out(digits, '0');
  for (size_t i = digits; i-- > 0; value /= 8) out[i] = static_cast<char>('0' + value % 8);
  return out;
}

// Writes the checksum into a header of 512 bytes.
inline std::string Summed(std::string header) {
  header.replace(148, 8, 8, ' ');
  uint64_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  header.replace(148, 8, Octal(sum, 6) + std::string("\0 ", 2));
  return header;
}

inline std::string TarHeader(const TarPart& part) {
  std::string header(512, '\0');
  header.replace(0, part.name.size(), part.name);
  header.replace(124, 11, Octal(part.data.size(), 11));
  header[156] = part.type;
  header.replace(257, 8,
                 std::string("ustar\0"
                             "00",
                             8));
  header.replace(345, part.prefix.size(), part.prefix);
  return Summed(header);
}

inline std::string TarMemberOf(const TarPart& part) { return TarHeader(part) + Padded(part.data); }

inline std::string PaxRecord(const std::string& key, const std::string& value) {
  size_t length = key.size() + value.size() + 4;  // one digit, space, equals, newline
  if (length > 9) ++length;
  if (length > 99) ++length;
  return absl::StrCat(length, " ", key, "=", value, "\n");
}

inline std::string TarOf(const std::vector<TarPart>& parts) {
  std::string out;
  for (const TarPart& part : parts) out += TarMemberOf(part);
  return out + std::string(1024, '\0');
}

inline std::string TarStorage(int64_t key, const std::string& bytes,
                              absl::string_view storage_class = "FloatStorage") {
  return Pickled(TupleOf({Num(key), Str("cpu"), Glob("torch", storage_class)})) + LegacyData(bytes);
}

// The 4 bytes behind the number of dims are what torch 0.1 left there.
inline std::string TarExtent(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides,
                             int64_t offset = 0) {
  std::string out = Le(dims.size(), 4) + "junk";
  for (const int64_t dim : dims) out += Le(static_cast<uint64_t>(dim), 8);
  for (const int64_t stride : strides) out += Le(static_cast<uint64_t>(stride), 8);
  return out + Le(static_cast<uint64_t>(offset), 8);
}

inline std::string TarTensor(int64_t key, int64_t storage, const std::string& extent) {
  return Pickled(TupleOf({Num(key), Num(storage), Glob("torch", "FloatTensor")})) + extent;
}

inline std::string TarCount(int64_t count) { return Pickled(Num(count)); }

// What an archive consists of: float32 [2, 2] as tensor 20 in storage 10.
struct TarParts {
  std::string system = Pickled(DictOf({Str("protocol_version"), Num(1000)}));
  std::string storages = TarCount(1) + TarStorage(10, "0123456789abcdef");
  std::string views = Pickled("]");
  std::string tensors = TarCount(1) + TarTensor(20, 10, TarExtent({2, 2}, {2, 1}));
  std::string object = Glob("UserString", "OrderedDict") + ")R(" + Str("w") + Str("20") + "Qu";

  std::vector<TarPart> Members() const {
    return {{.name = "sys_info", .data = system},
            {.name = "pickle", .data = Pickled(object)},
            {.name = "tensors", .data = tensors},
            {.name = "storages", .data = storages + views}};
  }
  std::string File() const { return TarOf(Members()); }
};

}  // namespace ballast

#endif  // BALLAST_TESTS_FORMATS_PYTORCH_LEGACY_TESTING_H_
