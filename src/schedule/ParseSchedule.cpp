#include "ParseSchedule.h"

#include "Directives.h"
#include "ScheduleText.h"
#include "support/Error.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace strobe {

namespace {

/** A recursive-descent parser over the characters. A position is an offset. */
class Parser {
    const std::string &text;
    const std::string &file;
    size_t at = 0;

    bool done() const {
        return at >= text.size();
    }

    char peek() const {
        return done() ? '\0' : text[at];
    }

    SourceSpan span_of(size_t begin, size_t end) const {
        size_t line_begin = text.rfind('\n', begin == 0 ? std::string::npos : begin - 1);
        line_begin = begin == 0 || line_begin == std::string::npos ? 0 : line_begin + 1;
        size_t line_end = std::min(text.find('\n', begin), text.size());
        SourceSpan span;
        span.file = file;
        span.line = 1 + (int)std::count(text.begin(), text.begin() + begin, '\n');
        span.column = 1 + (int)(begin - line_begin);
        span.length = (int)std::max<size_t>(1, std::min(end, line_end) - std::min(begin, line_end));
        span.text = text.substr(line_begin, line_end - line_begin);
        for (char &c : span.text) {
            c = c == '\t' || c == '\r' ? ' ' : c;
        }
        return span;
    }

    [[noreturn]] void fail(size_t begin, size_t end, const std::string &what) const {
        report_schedule_error(span_of(begin, end), what, "", "");
    }

    void skip_blanks() {
        while (!done() && (std::isspace((unsigned char)peek()) || peek() == '#')) {
            if (peek() == '#') {
                at = std::min(text.find('\n', at), text.size());
            } else {
                at++;
            }
        }
    }

    bool take(char c) {
        skip_blanks();
        if (peek() != c || done()) {
            return false;
        }
        at++;
        return true;
    }

    std::string quoted() {
        const size_t begin = at++;
        std::string s;
        while (!done() && peek() != '"') {
            if (peek() == '\\') {
                at++;
                if (peek() != '"' && peek() != '\\' && peek() != 'n') {
                    fail(at - 1, at + 1, "unknown escape in quotes; \\\" \\\\ and \\n are known");
                }
                s += peek() == 'n' ? '\n' : peek();
            } else {
                s += peek();
            }
            at++;
        }
        if (done()) {
            fail(begin, begin + 1, "this quote is never closed");
        }
        at++;
        return s;
    }

    /** What stands at the current position, for errors. */
    std::string found() const {
        return done() ? "the end of the schedule" : std::string("'") + peek() + "'";
    }

    std::string name(const std::string &expected) {
        skip_blanks();
        if (peek() == '"' && !done()) {
            return quoted();
        }
        const size_t begin = at;
        while (!done() && is_name_character(peek())) {
            at++;
        }
        if (at == begin) {
            fail(at, at + 1, "expected " + expected + ", found " + found());
        }
        return text.substr(begin, at - begin);
    }

    std::string value() {
        skip_blanks();
        if (peek() == '"' && !done()) {
            return quoted();
        }
        std::string s;
        while (true) {
            skip_blanks();
            const size_t begin = at;
            while (!done() && is_value_character(peek())) {
                at++;
            }
            if (at == begin) {
                break;
            }
            s += (s.empty() ? "" : " ") + text.substr(begin, at - begin);
        }
        if (s.empty()) {
            fail(at, at + 1, "expected an argument, found " + found());
        }
        return s;
    }

    /** Past the last character that is not blank. */
    size_t end_of(size_t begin) const {
        size_t end = at;
        while (end > begin && std::isspace((unsigned char)text[end - 1])) {
            end--;
        }
        return end;
    }

    /** "key =" if it stands here. */
    std::string key() {
        const size_t begin = at;
        skip_blanks();
        if (peek() == '"' || is_name_character(peek())) {
            std::string k = name("a name");
            if (take('=')) {
                return k;
            }
        }
        at = begin;
        return "";
    }

    DirectiveArgument argument() {
        DirectiveArgument a;
        skip_blanks();
        const size_t begin = at;
        a.key = key();
        skip_blanks();
        const size_t value_begin = at;
        a.value = value();
        a.span = span_of(begin, std::max(end_of(begin), value_begin + 1));
        return a;
    }

    void arguments(Directive &d) {
        const size_t open = at - 1;
        if (take(')')) {
            return;
        }
        do {
            d.arguments.push_back(argument());
        } while (take(','));
        if (take(')')) {
            return;
        }
        if (done()) {
            fail(open, open + 1, "this parenthesis is never closed");
        }
        fail(at, at + 1, "expected ',' or ')', found " + found());
    }

    Directive directive() {
        Directive d;
        std::vector<std::string> names;
        std::vector<SourceSpan> spans;
        do {
            skip_blanks();
            const size_t begin = at;
            names.push_back(name("a directive"));
            spans.push_back(span_of(begin, at));
        } while (take(','));
        if (take(':')) {
            d.subjects = names;
            d.subject_spans = spans;
            skip_blanks();
            const size_t begin = at;
            d.name = name("a directive behind ':'");
            d.span = span_of(begin, at);
        } else if (names.size() > 1) {
            fail(at, at + 1, "expected ':' behind the list of names, found " + found());
        } else {
            d.name = names[0];
            d.span = spans[0];
        }
        if (take('(')) {
            arguments(d);
        }
        check_directive(d);
        return d;
    }

public:
    Parser(const std::string &text, const std::string &file) : text(text), file(file) {
    }

    Schedule parse() {
        Schedule schedule;
        for (skip_blanks(); !done(); skip_blanks()) {
            schedule.directives.push_back(directive());
        }
        return schedule;
    }
};

}  // namespace

Schedule parse_schedule(const std::string &text, const std::string &file) {
    return Parser(text, file).parse();
}

Schedule load_schedule(const std::string &path) {
    std::ifstream stream(path);
    if (!stream) {
        strobe_runtime_failure() << "Cannot read the schedule " << path;
    }
    std::ostringstream text;
    text << stream.rdbuf();
    return parse_schedule(text.str(), path);
}

}  // namespace strobe
