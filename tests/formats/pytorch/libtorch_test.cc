// torch::pickle_load reads what is written as a plain dict, and nothing of an OrderedDict.
#include <torch/csrc/jit/serialization/pickle.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

// c10's numbers are ours.
at::ScalarType ScalarTypeOf(DType dtype) { return static_cast<at::ScalarType>(dtype); }

// Dtypes that LibTorch 1.13 has storage classes for.
std::vector<Tensor> TensorsOfEveryDType() {
  std::vector<Tensor> tensors;
  for (const DTypeInfo& info : AllDTypes()) {
    if (!FormatHasDType(Format::kPyTorchLegacy, info.dtype)) continue;
    for (const Shape& shape : std::vector<Shape>{{}, {0, 3}, {2, 3}, {1, 2, 3, 4}}) {
      tensors.push_back(MakeTensor(absl::StrCat(info.name, ShapeText(shape)), info.dtype, shape));
    }
  }
  return tensors;
}

c10::IValue Load(const std::vector<Tensor>& tensors, const LayoutInput& input) {
  const auto file = WriteAll(Format::kPyTorch, tensors, input);
  EXPECT_TRUE(file.ok()) << file.status();
  return torch::jit::pickle_load({file->begin(), file->end()});
}

void ExpectEqual(const at::Tensor& got, const Tensor& want) {
  EXPECT_EQ(got.scalar_type(), ScalarTypeOf(want.spec.dtype)) << want.spec.key;
  EXPECT_EQ(got.sizes().vec(),
            std::vector<int64_t>(want.spec.shape.begin(), want.spec.shape.end()));
  ASSERT_TRUE(got.is_contiguous());
  ASSERT_EQ(got.nbytes(), want.bytes.size());
  EXPECT_EQ(std::string(static_cast<const char*>(got.data_ptr()), got.nbytes()), want.bytes)
      << want.spec.key;
}

TEST(LibTorch, LoadsEveryTensorOfAPlainDict) {
  const std::vector<Tensor> tensors = TensorsOfEveryDType();
  LayoutInput input = InputOf(tensors);
  input.plain_dict = true;
  const c10::IValue value = Load(tensors, input);
  ASSERT_TRUE(value.isGenericDict());
  const auto dict = value.toGenericDict();
  ASSERT_EQ(dict.size(), tensors.size());
  for (const Tensor& tensor : tensors) {
    ExpectEqual(dict.at(tensor.spec.key).toTensor(), tensor);
  }
}

// It reads a storage anew for each of its tensors.
TEST(LibTorch, LoadsManyTensorsAndTies) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < 2000; ++i) {
    tensors.push_back(MakeTensor(absl::StrCat("k", i), DType::kFloat32, {3}, i % 1000));
  }
  LayoutInput input = InputOf(tensors);
  input.plain_dict = true;
  input.ties = {{1, 1001}};
  const auto dict = Load(tensors, input).toGenericDict();
  ASSERT_EQ(dict.size(), tensors.size());
  for (const Tensor& tensor : tensors) {
    ExpectEqual(dict.at(tensor.spec.key).toTensor(), tensor);
  }
}

TEST(LibTorch, LoadsNothingOfAnOrderedDict) {
  const std::vector<Tensor> tensors = {MakeTensor("w", DType::kFloat32, {3})};
  try {
    EXPECT_FALSE(Load(tensors, InputOf(tensors)).isGenericDict());
  } catch (const c10::Error&) {  // another way to say so
  }
}

}  // namespace
}  // namespace ballast
