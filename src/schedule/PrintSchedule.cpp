#include "PrintSchedule.h"

#include "ScheduleText.h"

#include <sstream>

namespace strobe {

namespace {

std::string quoted(const std::string &s) {
    std::string text = "\"";
    for (char c : s) {
        if (c == '"' || c == '\\') {
            text += '\\';
            text += c;
        } else if (c == '\n') {
            text += "\\n";
        } else {
            text += c;
        }
    }
    return text + "\"";
}

std::string name_text(const std::string &s) {
    return is_plain_name(s) ? s : quoted(s);
}

std::string value_text(const std::string &s) {
    return is_plain_value(s) ? s : quoted(s);
}

}  // namespace

std::ostream &operator<<(std::ostream &stream, const Directive &d) {
    for (size_t i = 0; i < d.subjects.size(); i++) {
        stream << (i ? ", " : "") << name_text(d.subjects[i]);
    }
    stream << (d.subjects.empty() ? "" : ": ") << name_text(d.name);
    for (size_t i = 0; i < d.arguments.size(); i++) {
        const DirectiveArgument &a = d.arguments[i];
        stream << (i ? ", " : "(") << (a.key.empty() ? "" : name_text(a.key) + "=") << value_text(a.value);
    }
    return stream << (d.arguments.empty() ? "" : ")");
}

std::ostream &operator<<(std::ostream &stream, const Schedule &schedule) {
    for (const Directive &d : schedule.directives) {
        stream << d << "\n";
    }
    return stream;
}

std::string to_string(const Directive &directive) {
    std::ostringstream text;
    text << directive;
    return text.str();
}

std::string to_string(const Schedule &schedule) {
    std::ostringstream text;
    text << schedule;
    return text.str();
}

}  // namespace strobe
