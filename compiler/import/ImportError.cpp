//===- ImportError.cpp - messages of the importers ------------------------===//

#include "compiler/import/ImportError.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace gru;
using namespace llvm;

static std::string oneLine(StringRef text) {
  std::string line = json::fixUTF8(text);
  for (char &c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = ' ';
  return line;
}

Error gru::importError(StringRef where, const Twine &message) {
  std::string text;
  if (!where.empty())
    text = where.str() + ": ";
  text += message.str();
  return createStringError(inconvertibleErrorCode(), "%s",
                           oneLine(text).c_str());
}

std::string gru::printable(StringRef text) {
  constexpr size_t longest = 80;
  if (text.size() <= longest)
    return oneLine(text);
  return oneLine(text.take_front(longest)) + "...";
}

std::string gru::listText(ArrayRef<StringRef> names) {
  return join(names, ", ");
}
