//===- NumpyTest.cpp - arrays in .npy and .npz files ----------------------===//

#include "tools/common/Numpy.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"

#include <gtest/gtest.h>
#include <zip.h>

#include <cmath>
#include <cstring>

using namespace gru;

namespace {

/// A version 1 file with the given dictionary and data, as NumPy lays it out.
std::string makeNpy(std::string header, llvm::StringRef data,
                    size_t padTo = 64) {
  while ((10 + header.size() + 1) % padTo)
    header += ' ';
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + data.str();
}

template <typename T> std::string bytesOf(std::initializer_list<T> values) {
  // Not memcpy: an empty list may begin at null.
  return {reinterpret_cast<const char *>(values.begin()),
          values.size() * sizeof(T)};
}

template <typename T>
Array makeArray(DType dtype, std::vector<int64_t> shape,
                std::initializer_list<T> values) {
  std::string bytes = bytesOf(values);
  return {dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

std::string errorOf(llvm::Expected<Array> array) {
  if (array)
    return "no error";
  return llvm::toString(array.takeError());
}

Array parse(llvm::StringRef bytes) {
  llvm::Expected<Array> array = parseNpy(bytes, "x.npy");
  EXPECT_TRUE(bool(array));
  if (!array) {
    ADD_FAILURE() << llvm::toString(array.takeError());
    return {};
  }
  return *array;
}

TEST(Numpy, readsWhatNumpyWrites) {
  Array array = parse(
      makeNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
              bytesOf<float>({1, 2, 3, 4, 5, 6})));
  EXPECT_EQ(array.dtype, DType::f32);
  EXPECT_EQ(array.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(toDoubles(array), (std::vector<double>{1, 2, 3, 4, 5, 6}));
}

TEST(Numpy, readsScalarsVectorsAndEmptyArrays) {
  EXPECT_EQ(parse(makeNpy("{'descr': '<f8', 'fortran_order': False, 'shape': "
                          "(), }",
                          bytesOf<double>({7})))
                .shape.size(),
            0u);
  EXPECT_EQ(parse(makeNpy("{'descr': '|b1', 'fortran_order': False, 'shape': "
                          "(3,), }",
                          llvm::StringRef("\1\0\1", 3)))
                .shape,
            (std::vector<int64_t>{3}));
  EXPECT_EQ(parse(makeNpy("{'descr': '<i4', 'fortran_order': False, 'shape': "
                          "(0, 4), }",
                          ""))
                .getNumElements(),
            0);
}

TEST(Numpy, turnsFortranOrderIntoC) {
  Array array = parse(
      makeNpy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
              bytesOf<float>({1, 4, 2, 5, 3, 6})));
  EXPECT_EQ(toDoubles(array), (std::vector<double>{1, 2, 3, 4, 5, 6}));
}

// The library's own reader takes the length's low byte as signed.
TEST(Numpy, readsHeadersOf128BytesAndMore) {
  std::string bytes =
      makeNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
              bytesOf<float>({9}), 256);
  ASSERT_GE(static_cast<unsigned char>(bytes[8]), 128);
  EXPECT_EQ(toDoubles(parse(bytes)), std::vector<double>{9});
}

TEST(Numpy, refusesWhatIsNoArray) {
  EXPECT_EQ(errorOf(parseNpy("", "a.npy")), "a.npy: not a .npy array");
  EXPECT_EQ(errorOf(parseNpy("hello, I am a text file", "a.npy")),
            "a.npy: not a .npy array");
  EXPECT_EQ(errorOf(readArray("no/such/file.npy")),
            "no/such/file.npy: cannot open: No such file or directory");
  EXPECT_EQ(errorOf(readArray("a.npz")),
            "a.npz: an archive needs the array's name, as in FILE.npz:NAME");
}

TEST(Numpy, refusesDtypesItCannotHold) {
  auto withDescr = [](std::string descr) {
    return errorOf(parseNpy(makeNpy("{'descr': " + descr +
                                        ", 'fortran_order': False, 'shape': "
                                        "(1,), }",
                                    bytesOf<double>({0})),
                            "a.npy"));
  };
  EXPECT_EQ(withDescr("'|O'"), "a.npy: dtype, found Python objects or a "
                               "structure, expected plain numbers");
  EXPECT_EQ(withDescr("[('a', '<f4')]"),
            "a.npy: dtype, found Python objects or a structure, expected "
            "plain numbers");
  EXPECT_EQ(withDescr("'>f8'"), "a.npy: dtype, found big-endian '>f8', "
                                "expected little-endian data");
  EXPECT_NE(withDescr("'<c8'").find("expected float16"), std::string::npos);
}

TEST(Numpy, comparesTheShapeWithTheDataBeforeItAllocates) {
  auto withShape = [](std::string shape) {
    return errorOf(parseNpy(
        makeNpy("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape +
                    ", }",
                bytesOf<float>({1, 2})),
        "a.npy"));
  };
  EXPECT_EQ(withShape("(3,)"), "a.npy: shape [3] of f32, found 8 bytes of "
                               "data, expected 12");
  EXPECT_EQ(withShape("(1,)"), "a.npy: shape [1] of f32, found 8 bytes of "
                               "data, expected 4");
  EXPECT_NE(withShape("(1000000000000,)").find("expected 4000000000000"),
            std::string::npos);
  EXPECT_NE(withShape("(4611686018427387904, 4, 2)").find("expected far more"),
            std::string::npos);
  EXPECT_EQ(withShape("(-1,)"), "a.npy: malformed .npy header");
  EXPECT_EQ(withShape("(many,)"), "a.npy: malformed .npy header");
}

TEST(Numpy, survivesEveryTruncationAndFlippedByte) {
  std::string whole =
      makeNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }",
              bytesOf<float>({1, 2}));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(errorOf(parseNpy(llvm::StringRef(whole).take_front(size), "a")),
              "no error");
  for (size_t at = 0; at < whole.size() - 8; ++at)
    for (char value :
         {'\0', '\n', ' ', '\'', '(', ')', '{', ',', ':', '\xff'}) {
      std::string bytes = whole;
      bytes[at] = value;
      llvm::consumeError(parseNpy(bytes, "a").takeError());
    }
}

TEST(Numpy, writesWhatItReads) {
  for (const Array &array : {makeArray<float>(DType::f32, {2, 2}, {1, 2, 3, 4}),
                             makeArray<double>(DType::f64, {}, {0.1}),
                             makeArray<uint16_t>(DType::f16, {1}, {0x3c00}),
                             makeArray<int64_t>(DType::i64, {3}, {1, -2, 3}),
                             makeArray<char>(DType::boolean, {1, 1, 2}, {0, 1}),
                             makeArray<int32_t>(DType::i32, {0}, {})}) {
    Array again = parse(formatNpy(array));
    EXPECT_EQ(again.dtype, array.dtype);
    EXPECT_EQ(again.shape, array.shape);
    EXPECT_EQ(again.data, array.data);
  }
  // 1.5 in bfloat16; there is no such dtype in NumPy.
  Array wide =
      parse(formatNpy(makeArray<uint16_t>(DType::bf16, {1}, {0x3fc0})));
  EXPECT_EQ(wide.dtype, DType::f32);
  EXPECT_EQ(toDoubles(wide), std::vector<double>{1.5});
}

TEST(Numpy, convertsFloatsWithOneRounding) {
  Array values =
      makeArray<double>(DType::f64, {4}, {1.0 / 3, 65504, 1e300, -0.0});
  EXPECT_EQ(toDoubles(*convertTo(values, DType::f32))[0], double(1.0f / 3));
  std::vector<double> half = toDoubles(*convertTo(values, DType::f16));
  EXPECT_EQ(half[0], 0.333251953125);
  EXPECT_EQ(half[1], 65504);
  EXPECT_TRUE(std::isinf(half[2]));
  EXPECT_TRUE(std::signbit(half[3]));
  EXPECT_EQ(toDoubles(*convertTo(values, DType::bf16))[0], 0.333984375);
  EXPECT_EQ(errorOf(convertTo(values, DType::i64)),
            "cannot convert f64 to i64");
}

TEST(Numpy, readsStoredAndDeflatedMembers) {
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("numpy", "npz", path));
  llvm::scope_exit remove([&] { llvm::sys::fs::remove(path); });
  std::string bytes = formatNpy(makeArray<float>(DType::f32, {2}, {3, 4}));
  int code = 0;
  zip_t *archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  ASSERT_TRUE(archive);
  for (auto [name, method] : {std::pair{"plain.npy", ZIP_CM_STORE},
                              std::pair{"packed.npy", ZIP_CM_DEFLATE}}) {
    zip_int64_t index = zip_file_add(
        archive, name,
        zip_source_buffer(archive, bytes.data(), bytes.size(), 0), 0);
    ASSERT_GE(index, 0);
    ASSERT_EQ(zip_set_file_compression(archive, index, method, 0), 0);
  }
  ASSERT_EQ(zip_close(archive), 0);

  for (const char *key : {"plain", "packed"}) {
    llvm::Expected<Array> array = readArray((path + ":" + key).str());
    ASSERT_TRUE(bool(array)) << llvm::toString(array.takeError());
    EXPECT_EQ(toDoubles(*array), (std::vector<double>{3, 4}));
  }
  EXPECT_EQ(errorOf(readArray((path + ":nothing").str())),
            path.str().str() + ": no array 'nothing', found plain, packed");
}

} // namespace
