#ifndef STROBE_SCHEDULE_SCHEDULE_TEXT_H
#define STROBE_SCHEDULE_SCHEDULE_TEXT_H

/** \file
 * The characters of the text form, shared by its printer and its parser: what may
 * stand without quotes. Anything else is written "quoted", with \" \\ and \n. */

#include <cctype>
#include <string>

namespace strobe {

/** A character of a name: of a directive, a Func, an input, an argument's key. */
inline bool is_name_character(char c) {
    return std::isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.';
}

/** A character of a word in an argument's value. */
inline bool is_value_character(char c) {
    return is_name_character(c) || c == ':' || c == '+' || c == '-' || c == '*' || c == '/' || c == '%';
}

inline bool is_plain_name(const std::string &s) {
    for (char c : s) {
        if (!is_name_character(c)) {
            return false;
        }
    }
    return !s.empty();
}

/** Words separated by single blanks. */
inline bool is_plain_value(const std::string &s) {
    char last = ' ';
    for (char c : s) {
        if (!(c == ' ' ? last != ' ' : is_value_character(c))) {
            return false;
        }
        last = c;
    }
    return last != ' ';
}

}  // namespace strobe

#endif
