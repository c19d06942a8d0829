#include "storage/schema/validate.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/schema/suggest.h"

namespace ballast {
namespace {

constexpr size_t kNameShownBytes = 64;

}  // namespace

struct StreamingValidator::Impl {
  Impl(const Schema* schema_in, bool strict_in, const Limits& limits_in)
      : schema(schema_in), limits(limits_in), seen(schema_in->entries.size()) {
    report.strict = strict_in;
    by_key.reserve(schema->entries.size());
    for (uint32_t i = 0; i < schema->entries.size(); ++i) by_key[schema->entries[i].key] = i;
  }

  // Adds to one of the report's lists, as long as there is room in it.
  bool List(ReportItem item, std::vector<ReportItem>* list) {
    if (listed == limits.report_items_max) {
      ++report.items_omitted;
      return false;
    }
    ++listed;
    list->push_back(std::move(item));
    return true;
  }

  // "[10, in=5]": names show the size that they have got.
  std::string ShapeText(const SchemaEntry& entry) const {
    std::string out = "[";
    for (const SchemaDim& dim : entry.shape) {
      if (out.size() > 1) out += ", ";
      if (dim.name.empty()) {
        absl::StrAppend(&out, dim.size < 0 ? "any" : absl::StrCat(dim.size));
        continue;
      }
      absl::StrAppend(&out, Printable(absl::string_view(dim.name).substr(0, kNameShownBytes)));
      if (const auto it = sizes.find(dim.name); it != sizes.end()) {
        absl::StrAppend(&out, "=", it->second);
      }
    }
    return out + "]";
  }
  std::string Text(const SchemaEntry& entry) const {
    return entry.dtype ? absl::StrCat(DTypeName(*entry.dtype), " ", ShapeText(entry))
                       : ShapeText(entry);
  }
  static std::string Text(const TensorSpec& spec) {
    return absl::StrCat(DTypeName(spec.dtype), " ", ballast::ShapeText(spec.shape));
  }

  // True if the shape fits; names that have no size yet get theirs then.
  bool FitShape(const SchemaEntry& entry, const Shape& shape) {
    if (entry.shape.size() != shape.size()) return false;
    absl::flat_hash_map<absl::string_view, uint64_t> fresh;
    for (size_t i = 0; i < shape.size(); ++i) {
      const SchemaDim& dim = entry.shape[i];
      if (dim.name.empty()) {
        if (dim.size >= 0 && static_cast<uint64_t>(dim.size) != shape[i]) return false;
      } else if (const auto it = sizes.find(dim.name); it != sizes.end()) {
        if (it->second != shape[i]) return false;
      } else if (fresh.try_emplace(dim.name, shape[i]).first->second != shape[i]) {
        return false;
      }
    }
    sizes.insert(fresh.begin(), fresh.end());
    return true;
  }

  void ListUnexpected(const TensorSpec& spec) {
    if (List({spec.key, "", Text(spec), ""}, &report.unexpected)) unexpected.push_back(spec);
  }

  const Schema* schema;  // Must outlive this.
  const Limits limits;
  absl::flat_hash_map<absl::string_view, uint32_t> by_key;
  std::vector<bool> seen;                                  // per schema entry
  absl::flat_hash_map<absl::string_view, uint64_t> sizes;  // of named dims
  std::vector<TensorSpec> unexpected;                      // as in report.unexpected
  uint64_t listed = 0;
  Report report;
};

StreamingValidator::StreamingValidator(const Schema* schema, bool strict, const Limits& limits)
    : impl_(std::make_unique<Impl>(schema, strict, limits)) {}
StreamingValidator::~StreamingValidator() = default;

absl::Status StreamingValidator::Add(const TensorSpec& spec) {
  const auto it = impl_->by_key.find(spec.key);
  if (it == impl_->by_key.end()) {
    impl_->ListUnexpected(spec);
    if (!impl_->report.strict) return absl::OkStatus();
    impl_->report.ok = false;
    return SchemaMismatchError("schema: key ", QuotedKey(spec.key), " is ", Impl::Text(spec),
                               ", want no such key");
  }
  const SchemaEntry& entry = impl_->schema->entries[it->second];
  impl_->seen[it->second] = true;
  const bool dtype_fits = !entry.dtype || *entry.dtype == spec.dtype;
  const bool shape_fits = impl_->FitShape(entry, spec.shape);
  if (dtype_fits && shape_fits) return absl::OkStatus();
  impl_->report.ok = false;
  const std::string expected = impl_->Text(entry);
  const std::string found = Impl::Text(spec);
  if (!shape_fits) {
    impl_->List({spec.key, expected, found, SuggestShape(entry, spec)},
                &impl_->report.shape_mismatches);
  }
  if (!dtype_fits) {
    impl_->List({spec.key, expected, found, ""}, &impl_->report.dtype_mismatches);
  }
  return SchemaMismatchError("schema: key ", QuotedKey(spec.key), " is ", found, ", want ",
                             expected);
}

Report StreamingValidator::Finish() {
  Report& report = impl_->report;
  std::vector<const SchemaEntry*> missing;
  for (size_t i = 0; i < impl_->seen.size(); ++i) {
    const SchemaEntry& entry = impl_->schema->entries[i];
    if (impl_->seen[i] || entry.optional) continue;
    if (report.strict) report.ok = false;
    if (impl_->List({entry.key, impl_->Text(entry), "", ""}, &report.missing)) {
      missing.push_back(&entry);
    }
  }
  SuggestNames(missing, impl_->unexpected, &report);
  return report;
}

Report Validate(const Schema& schema, absl::Span<const TensorSpec> specs, bool strict,
                const Limits& limits) {
  StreamingValidator validator(&schema, strict, limits);
  // Contradictions are in the report, too.
  for (const TensorSpec& spec : specs) validator.Add(spec).IgnoreError();
  return validator.Finish();
}

}  // namespace ballast
