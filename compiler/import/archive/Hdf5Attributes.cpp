//===- Hdf5Attributes.cpp - string attributes in an HDF5 image
//-------------===//
//
// Names and layouts follow the HDF5 File Format Specification, version 3.0:
// IV.A object headers, IV.A.2.m attribute messages, III.E global heaps.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/archive/Hdf5Attributes.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Endian.h"

using namespace gru;
using namespace llvm;

/// Header blocks and messages of one object; real files have a handful.
static constexpr unsigned kMostMessages = 10000;
/// Strings of one attribute, and bytes of all of them.
static constexpr uint64_t kMostStrings = 1 << 16;
static constexpr uint64_t kLargestAttribute = uint64_t(256) << 20;

namespace {
/// Reads little-endian numbers off the front of some bytes. Reading past the
/// end gives zeros and sets `failed`, which is asked at the end.
class Cursor {
public:
  explicit Cursor(StringRef bytes) : bytes(bytes) {}

  uint64_t number(unsigned size) {
    uint64_t value = 0;
    StringRef taken = take(size);
    for (unsigned i = 0; i < taken.size(); ++i)
      value |= uint64_t(uint8_t(taken[i])) << (8 * i);
    return value;
  }
  StringRef take(uint64_t size) {
    if (size > bytes.size()) {
      failed = true;
      bytes = "";
      return "";
    }
    StringRef taken = bytes.take_front(size);
    bytes = bytes.drop_front(size);
    return taken;
  }
  /// Takes `size` bytes and what pads them to a multiple of 8.
  StringRef takePadded(uint64_t size) {
    StringRef taken = take(size);
    take(std::min<uint64_t>((8 - size % 8) % 8, bytes.size()));
    return taken;
  }
  uint64_t left() const { return bytes.size(); }

  bool failed = false;

private:
  StringRef bytes;
};

/// The type of an attribute's elements: strings of one of two kinds.
struct StringType {
  bool variable = false;
  uint64_t size = 0;
};
} // namespace

static Error damaged(const Twine &what) {
  return importError("", "damaged: " + what);
}

/// `size` bytes at `address`, empty if the file ends before.
static StringRef at(StringRef image, uint64_t address, uint64_t size) {
  if (address > image.size() || size > image.size() - address)
    return "";
  return image.substr(address, size);
}

//===----------------------------------------------------------------------===//
// Object headers
//===----------------------------------------------------------------------===//

/// Calls `visit` with type, flags and content of each message of an object's
/// header, until it returns true.
static Error visitMessages(
    StringRef image, uint64_t address,
    function_ref<Expected<bool>(unsigned, unsigned, StringRef)> visit) {
  std::vector<StringRef> blocks;
  bool second = at(image, address, 4) == "OHDR";
  unsigned headerFlags = 0;
  if (second) {
    Cursor head(image.substr(std::min<uint64_t>(address, image.size())));
    head.take(4);
    if (head.number(1) != 2)
      return damaged("unknown version of an object header");
    headerFlags = head.number(1);
    if (headerFlags & 0x20)
      head.take(16);
    if (headerFlags & 0x10)
      head.take(4);
    blocks.push_back(head.take(head.number(1u << (headerFlags & 3))));
    if (head.failed)
      return damaged("an object header ends beyond the file");
  } else {
    Cursor head(at(image, address, 16));
    if (head.number(1) != 1)
      return damaged("unknown version of an object header");
    head.take(7);
    uint64_t size = head.number(4);
    blocks.push_back(at(image, address + 16, size));
    if (head.failed || blocks.back().size() != size)
      return damaged("an object header ends beyond the file");
  }

  unsigned messages = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    Cursor block(blocks[i]);
    uint64_t prefix = second ? (headerFlags & 0x04 ? 6 : 4) : 8;
    while (block.left() >= prefix) {
      if (++messages > kMostMessages)
        return damaged("an object header has too many messages");
      unsigned type = block.number(second ? 1 : 2);
      uint64_t size = block.number(2);
      unsigned flags = block.number(1);
      block.take(prefix - (second ? 4 : 5));
      StringRef content = block.take(size);
      if (block.failed)
        return damaged("a message ends beyond its object header");
      constexpr unsigned continuation = 0x10;
      if (type == continuation) {
        Cursor cursor(content);
        uint64_t start = cursor.number(8), length = cursor.number(8);
        StringRef more = at(image, start, length);
        if (cursor.failed || more.empty())
          return damaged("an object header continues beyond the file");
        if (second) {
          // Signature in front, checksum behind.
          if (more.size() < 8 || !more.starts_with("OCHK"))
            return damaged("an object header continues nowhere");
          more = more.drop_front(4).drop_back(4);
        }
        blocks.push_back(more);
        continue;
      }
      Expected<bool> done = visit(type, flags, content);
      if (!done)
        return done.takeError();
      if (*done)
        return Error::success();
    }
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Attribute messages
//===----------------------------------------------------------------------===//

static Expected<StringType> readType(StringRef bytes) {
  Cursor cursor(bytes);
  unsigned typeClass = cursor.number(1) & 0xf;
  unsigned kind = cursor.number(1) & 0xf;
  cursor.take(2);
  StringType type;
  type.size = cursor.number(4);
  constexpr unsigned fixedString = 3, variableLength = 9;
  if (cursor.failed)
    return damaged("its type is cut off");
  if (typeClass == fixedString)
    return type;
  // Kind 1 of the variable-length types is a string.
  if (typeClass != variableLength || kind != 1)
    return importError("", "found another type, expected strings");
  type.variable = true;
  if (type.size != 16)
    return damaged("its references have " + Twine(type.size) + " bytes");
  return type;
}

static Expected<uint64_t> readCount(StringRef bytes) {
  Cursor cursor(bytes);
  unsigned version = cursor.number(1), rank = cursor.number(1);
  cursor.take(1);
  unsigned kind = cursor.number(1);
  if (version == 1)
    cursor.take(4);
  else if (version != 2)
    return damaged("unknown version of its shape");
  constexpr unsigned null = 2;
  if (version == 2 && kind == null)
    return 0;
  uint64_t count = 1;
  for (unsigned i = 0; i < rank; ++i) {
    uint64_t size = cursor.number(8);
    if (size > kMostStrings || count * size > kMostStrings)
      return damaged("it claims more than " + Twine(kMostStrings) + " strings");
    count *= size;
  }
  if (cursor.failed)
    return damaged("its shape is cut off");
  return count;
}

/// Object `index` of the global heap collection at `address`.
static Expected<StringRef> readHeap(StringRef image, uint64_t address,
                                    uint64_t index) {
  Cursor head(at(image, address, 16));
  if (head.take(4) != "GCOL" || head.number(1) != 1)
    return damaged("its strings are not where it says");
  head.take(3);
  uint64_t size = head.number(8);
  StringRef collection = at(image, address, size);
  Cursor cursor(collection);
  cursor.take(16);
  while (cursor.left() >= 16) {
    uint64_t found = cursor.number(2);
    cursor.take(6);
    uint64_t length = cursor.number(8);
    // Object 0 is the free rest of the collection.
    if (found == 0)
      break;
    StringRef bytes = cursor.takePadded(length);
    if (cursor.failed)
      break;
    if (found == index)
      return bytes;
  }
  return damaged("one of its strings is missing");
}

static Expected<std::vector<std::string>> readContent(StringRef image,
                                                      const StringType &type,
                                                      uint64_t count,
                                                      Cursor data) {
  std::vector<std::string> strings;
  uint64_t total = 0;
  for (uint64_t i = 0; i < count; ++i) {
    StringRef text;
    if (type.variable) {
      uint64_t length = data.number(4), address = data.number(8);
      uint64_t index = data.number(4);
      if (data.failed)
        return damaged("it is cut off");
      if (length > 0) {
        Expected<StringRef> bytes = readHeap(image, address, index);
        if (!bytes)
          return bytes.takeError();
        if (length > bytes->size())
          return damaged("one of its strings is cut off");
        text = bytes->take_front(length);
      }
    } else {
      text = data.take(type.size);
      if (data.failed)
        return damaged("it is cut off");
    }
    if ((total += text.size()) > kLargestAttribute)
      return damaged("it claims more than " + Twine(kLargestAttribute) +
                     " bytes");
    strings.push_back(text.take_until([](char c) { return c == 0; }).str());
  }
  return strings;
}

Expected<std::optional<std::vector<std::string>>>
gru::readHdf5Strings(StringRef image, uint64_t address, StringRef attribute) {
  std::optional<std::vector<std::string>> result;
  auto visit = [&](unsigned messageType, unsigned messageFlags,
                   StringRef content) -> Expected<bool> {
    constexpr unsigned attributeInfo = 0x15, attributeMessage = 0x0c;
    if (messageType == attributeInfo) {
      Cursor cursor(content);
      cursor.take(1);
      if (cursor.number(1) & 1)
        cursor.take(2);
      if (cursor.number(8) != ~uint64_t(0) && !cursor.failed)
        return importError("",
                           "the attributes are stored in a heap, expected "
                           "them in the object header, as h5py writes them");
      return false;
    }
    if (messageType != attributeMessage)
      return false;
    Cursor cursor(content);
    unsigned version = cursor.number(1), flags = cursor.number(1);
    uint64_t nameSize = cursor.number(2), typeSize = cursor.number(2);
    uint64_t shapeSize = cursor.number(2);
    if (version == 3)
      cursor.take(1);
    auto take = [&](uint64_t size) {
      return version == 1 ? cursor.takePadded(size) : cursor.take(size);
    };
    StringRef name = take(nameSize).split('\0').first;
    if (!cursor.failed && name != attribute)
      return false;
    StringRef typeBytes = take(typeSize), shapeBytes = take(shapeSize);
    constexpr unsigned shared = 2;
    if (cursor.failed || version < 1 || version > 3)
      return damaged("its description is cut off");
    if ((messageFlags & shared) || (version > 1 && (flags & 3)))
      return importError("", "it is shared with other objects, which is not "
                             "supported");
    Expected<uint64_t> count = readCount(shapeBytes);
    if (!count)
      return count.takeError();
    // An empty list has whatever type NumPy gives to it.
    if (*count == 0) {
      result.emplace();
      return true;
    }
    Expected<StringType> type = readType(typeBytes);
    if (!type)
      return type.takeError();
    Expected<std::vector<std::string>> strings =
        readContent(image, *type, *count, cursor);
    if (!strings)
      return strings.takeError();
    result = std::move(*strings);
    return true;
  };
  if (Error error = visitMessages(image, address, visit))
    return error;
  return result;
}
