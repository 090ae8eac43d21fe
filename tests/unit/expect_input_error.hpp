#pragma once
#include <functional>
#include <initializer_list>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"

namespace ep::test {

/// Expects `call` to throw an InputError (exit code 6) whose message holds every one of `parts`.
inline void expect_input_error(const std::function<void()>& call, std::initializer_list<std::string> parts) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const core::InputError& error) {
    EXPECT_EQ(error.code(), core::ExitCode::usage);
    for (const std::string& part : parts) EXPECT_THAT(std::string(error.what()), testing::HasSubstr(part));
  }
}

}  // namespace ep::test
