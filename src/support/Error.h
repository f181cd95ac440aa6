#ifndef STROBE_SUPPORT_ERROR_H
#define STROBE_SUPPORT_ERROR_H

/** \file
 * Three kinds of error. A path that a user can reach throws UserError or
 * RuntimeFailure, never InternalError. */

#include <sstream>
#include <stdexcept>
#include <string>

namespace strobe {

/** The user asked for something that is not legal; the text names it and says what would be. */
struct UserError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/** A bug in Strobe. */
struct InternalError : std::logic_error {
    using std::logic_error::logic_error;
};

/** The machine refused: a driver call, a file, memory. */
struct RuntimeFailure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

namespace detail {

/** Collects a message and throws it at the end of the statement. */
template<typename Error>
struct Thrower {
    std::ostringstream message;
    template<typename T>
    Thrower &operator<<(const T &x) {
        message << x;
        return *this;
    }
    [[noreturn]] ~Thrower() noexcept(false) {
        throw Error(message.str());
    }
};

}  // namespace detail

}  // namespace strobe

/** strobe_user_error() << "..."; throws at the end of the statement. */
#define strobe_user_error() ::strobe::detail::Thrower<::strobe::UserError>()
#define strobe_runtime_failure() ::strobe::detail::Thrower<::strobe::RuntimeFailure>()
#define strobe_internal_error() ::strobe::detail::Thrower<::strobe::InternalError>() << __FILE__ << ":" << __LINE__ << ": "
#define strobe_user_assert(c) \
    if (c) {                  \
    } else                    \
        strobe_user_error()
#define strobe_internal_assert(c) \
    if (c) {                      \
    } else                        \
        strobe_internal_error() << "(" #c ") "

#endif
