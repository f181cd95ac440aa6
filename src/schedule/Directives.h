#ifndef STROBE_SCHEDULE_DIRECTIVES_H
#define STROBE_SCHEDULE_DIRECTIVES_H

/** \file
 * The scheduling language as a table: which directives there are, what they take
 * and what they mean. The parser, the checker and the command line's help read it. */

#include "Schedule.h"

namespace strobe {

struct DirectiveSpec {
    enum class Subjects {
        None,
        Inputs,  // "k, v: stage(...)"
        Funcs
    };  // "scores: mma(...)"
    std::string name;
    std::vector<std::string> parameters;  // their keywords; positional arguments fill them in order
    int required = 0;                     // how many of them must be given
    bool variadic = false;                // any number of positional arguments instead
    Subjects subjects = Subjects::None;
    std::string usage;  // "tile(axis, size)"
    std::string text;   // one sentence
};

const std::vector<DirectiveSpec> &known_directives();

/** Null if there is no such directive. */
const DirectiveSpec *find_directive(const std::string &name);

/** The argument for a parameter, given by keyword or position; null if absent. */
const DirectiveArgument *argument_of(const Directive &directive, const std::string &parameter);

/** Throws UserError, at the directive's span, if the directive, its number of
 * arguments or a keyword is unknown, or if subjects are missing or out of place. */
void check_directive(const Directive &directive);

/** "file:3:8: error: what", the caret, the evidence and what would be legal, thrown as UserError. */
[[noreturn]] void report_schedule_error(const SourceSpan &span, const std::string &what, const std::string &evidence,
                                        const std::string &legal);

}  // namespace strobe

#endif
