// What a sentence and a remedy are filled with, and which remedy it is.
#pragma once

#include "shim/diagnosis/failure.hpp"
#include "shim/diagnosis/story.hpp"

#include <map>
#include <string>

namespace shim {

using Facts = std::map<std::string, std::string>;

/// By the names of `config::placeholder_word`; strings from outside as they came.
Facts facts_of(const Story &story, const Failure &failure);

/// The catalogue speaks of the configuration's own credentials; a client's own password is
/// the application's to mend.
std::string_view remedy_of(Cause cause, const Story &story);

} // namespace shim
