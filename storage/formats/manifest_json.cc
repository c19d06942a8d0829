#include "storage/formats/manifest_json.h"

#include "storage/base/status.h"
#include "storage/formats/strict_json.h"

namespace ballast {
namespace {

// [{"path": "…", "type": "…", "value": …, "text": "…"}, …]; "value" is anything; it and "text"
// may be missing.
class LeavesHandler : public StrictJsonHandler {
 public:
  bool null() override { return InValue(); }
  bool boolean(bool) override { return InValue(); }
  bool number_integer(number_integer_t) override { return InValue(); }
  bool number_unsigned(number_unsigned_t) override { return InValue(); }
  bool number_float(number_float_t, const string_t&) override { return InValue(); }
  bool string(string_t&) override {
    if (InValue()) return true;
    if (depth_ != kLeafDepth) return false;
    has_path_ |= member_ == "path";
    has_type_ |= member_ == "type";
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == kLeafDepth - 1) has_path_ = has_type_ = false;
    return Begin(depth_ == kLeafDepth - 1);
  }
  bool key(string_t& name) override {
    if (depth_ != kLeafDepth) return true;
    member_ = name;
    return name == "path" || name == "type" || name == "value" || name == "text";
  }
  bool end_object() override {
    const bool leaf = depth_-- == kLeafDepth;
    return !leaf || (has_path_ && has_type_);
  }
  bool start_array(std::size_t) override { return Begin(depth_ == 0); }
  bool end_array() override { return depth_-- > 0; }

 private:
  static constexpr int kLeafDepth = 2;  // inside the list and the leaf's object
  static constexpr int kDepthMax = 100;

  bool InValue() const {
    return depth_ > kLeafDepth || (depth_ == kLeafDepth && member_ == "value");
  }
  bool Begin(bool expected) { return (expected || InValue()) && ++depth_ <= kDepthMax; }

  int depth_ = 0;
  std::string member_;
  bool has_path_ = false;
  bool has_type_ = false;
};

bool IsLeaves(absl::string_view json) {
  LeavesHandler handler;
  return ParseJson(json, &handler);
}

}  // namespace

bool IsModuleMetadata(absl::string_view json) {
  ObjectOfObjectsHandler handler;
  return ParseJson(json, &handler);
}

absl::Status CheckManifestJson(const Manifest& manifest) {
  if (!manifest.metadata_json.empty() && !IsModuleMetadata(manifest.metadata_json)) {
    return MalformedError(
        "manifest: metadata_json is something else than it should be, want an object of objects "
        "{\"<module>\": {…}, …}, at most 8 deep, with integers of 64 bits");
  }
  if (!manifest.leaves_json.empty() && !IsLeaves(manifest.leaves_json)) {
    return MalformedError(
        "manifest: leaves_json is something else than it should be, want a list of objects "
        "[{\"path\": \"…\", \"type\": \"…\", \"value\": …}, …]");
  }
  return absl::OkStatus();
}

}  // namespace ballast
