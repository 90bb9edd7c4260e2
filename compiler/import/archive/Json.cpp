//===- Json.cpp - JSON from files that we did not write
//--------------------===//

#include "compiler/import/archive/Json.h"

#include "compiler/import/ImportError.h"

using namespace gru;
using namespace llvm;

/// Real models nest about 15 levels.
static constexpr unsigned kDeepest = 256;

static Error checkTokens(StringRef where, StringRef text) {
  unsigned depth = 0, line = 1;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\n')
      ++line;
    if (inString) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        inString = false;
      continue;
    }
    if (c == '"')
      inString = true;
    else if (c == '[' || c == '{') {
      if (++depth > kDeepest)
        return importError(where, "line " + Twine(line) +
                                      ": nests deeper than " + Twine(kDeepest) +
                                      " levels");
    } else if ((c == ']' || c == '}') && depth > 0)
      --depth;
    else if (c == 'I' || c == 'N')
      for (StringRef word : {"Infinity", "NaN"})
        if (text.substr(i).starts_with(word))
          return importError(where, "line " + Twine(line) + ": found " + word +
                                        ", which is not JSON, expected a "
                                        "finite number or null");
  }
  return Error::success();
}

Expected<json::Object> gru::parseJsonObject(StringRef where, StringRef text) {
  text.consume_front("\xEF\xBB\xBF");
  if (Error error = checkTokens(where, text))
    return error;
  Expected<json::Value> value = json::parse(text);
  if (!value)
    return importError(where, "not valid JSON: " + toString(value.takeError()));
  if (json::Object *object = value->getAsObject())
    return std::move(*object);
  return importError(where, "found JSON that is no object, expected an object");
}
