#include "ExpandPtx.h"

#include "IntrinsicTable.h"
#include "support/Error.h"

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

namespace strobe::device {

namespace {

std::vector<std::string> split(const std::string &text, const std::string &separator) {
    std::vector<std::string> parts;
    size_t start = 0;
    for (size_t at; (at = text.find(separator, start)) != std::string::npos; start = at + separator.size()) {
        parts.push_back(text.substr(start, at - start));
    }
    parts.push_back(text.substr(start));
    return parts;
}

std::string trim(const std::string &s) {
    const size_t first = s.find_first_not_of(" \t");
    return first == std::string::npos ? "" : s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

bool starts_with(const std::string &s, const std::string &prefix) {
    return s.compare(0, prefix.size(), prefix) == 0;
}

/** The text between the last `[` and `]`, or after the last comma. */
std::string operand_after_comma(const std::string &line) {
    const size_t comma = line.rfind(',');
    return trim(line.substr(comma + 1, line.rfind(';') - comma - 1));
}

/** An instruction "op d, a, b;" as {op, d, a, b}; as many as there are. */
std::vector<std::string> words_of(const std::string &line) {
    std::vector<std::string> words;
    std::string word;
    for (char c : line) {
        if (c == ' ' || c == '\t' || c == ',' || c == ';') {
            if (!word.empty()) {
                words.push_back(word);
            }
            word.clear();
        } else {
            word += c;
        }
    }
    return words;
}

bool is_integer_min_max(const std::string &op) {
    return op == "max.s32" || op == "min.s32" || op == "max.u32" || op == "min.u32";
}

/** ptxas 13.0 makes one instruction of max(max(a, b), c) of integers and loses the sign of an operand that it knows
 * to be a negation (13.5 does not). So a minimum or maximum that reads another one, directly or through copies, gets
 * it behind an exclusive or with zero: with the block's z coordinate, of which ptxas does not know that it is zero. */
std::string keep_min_max_apart(const std::string &body) {
    const std::vector<std::string> lines = split(body, "\n");
    std::map<size_t, std::vector<std::string>> operations, copies;  // by line
    for (size_t n = 0; n < lines.size(); n++) {
        const std::string line = trim(lines[n]);
        if (starts_with(line, "max.") || starts_with(line, "min.")) {
            const std::vector<std::string> words = words_of(line);
            if (words.size() == 4 && is_integer_min_max(words[0])) {
                operations[n] = words;
            }
        } else if (starts_with(line, "mov.b32") && words_of(line).size() == 3) {
            copies[n] = words_of(line);
        }
    }
    std::set<std::string> results;
    for (const auto &[n, words] : operations) {
        results.insert(words[1]);
    }
    for (size_t known = 0; known != results.size();) {
        known = results.size();
        for (const auto &[n, words] : copies) {
            if (results.count(words[2])) {
                results.insert(words[1]);
            }
        }
    }
    std::string text;
    for (size_t n = 0; n < lines.size(); n++) {
        const auto found = operations.find(n);
        std::string line = lines[n];
        if (found != operations.end() && (results.count(found->second[2]) || results.count(found->second[3]))) {
            std::vector<std::string> &words = found->second;
            std::string &nested = results.count(words[2]) ? words[2] : words[3];
            line = "\t{ .reg .b32 %sz; mov.u32 %sz, %ctaid.z; xor.b32 %sz, %sz, " + nested + "; ";
            nested = "%sz";
            line += words[0] + " " + words[1] + ", " + words[2] + ", " + words[3] + "; }";
        }
        text += line + (n + 1 < lines.size() ? "\n" : "");
    }
    return text;
}

/** Rewrites one kernel: a line at a time, with what its header must declare. */
class Expander {
    const PtxOptions &options;
    std::ostringstream out;
    std::string entry;                        // name of the kernel being read
    std::ostringstream head, body;            // of that kernel
    std::map<std::string, int> named;         // named registers: count
    std::map<std::string, std::string> maps;  // "[attn_param_0]" -> parameter name
    int calls = 0;
    bool skipping = false;  // inside the declaration of an intrinsic

    std::string named_register(const std::string &name, int i) {
        named[name] = std::max(named[name], i + 1);
        return "%strobe_" + name + "_" + std::to_string(i);
    }

    void expand_call(const std::vector<std::string> &lines) {
        IntrinsicCall call;
        std::map<int, std::string> arguments;
        for (const std::string &l : lines) {
            const std::string line = trim(l);
            if (starts_with(line, "st.param")) {
                const size_t at = line.find("[param") + 6;
                arguments[std::stoi(line.substr(at))] = operand_after_comma(line);
            } else if (starts_with(line, "call.uni")) {
                const size_t at = line.find("strobe$");
                strobe_internal_assert(at != std::string::npos) << "call of an unknown function: " << line;
                const std::string callee = line.substr(at + 7, line.find("$$", at) - at - 7);
                call.constants = split(callee, "$");
                call.op = call.constants.front();
                call.constants.erase(call.constants.begin());
            } else if (starts_with(line, "ld.param")) {
                const size_t tab = line.find_first_of(" \t");
                call.result = trim(line.substr(tab, line.find(',') - tab));
            }
        }
        for (const auto &a : arguments) {
            call.arguments.push_back(a.second);
        }
        call.id = calls++;
        call.named = [this](const std::string &name, int i) { return named_register(name, i); };
        body << "\t" << ptx_of(call) << "\n";
    }

    /** ".param .u64 attn_param_3," -> by-value tensor map if it is one. */
    std::string parameter(const std::string &line) {
        const EntryOptions &e = options.entries.at(entry);
        const size_t at = line.find(entry + "_param_");
        if (at == std::string::npos) {
            return line;
        }
        const size_t number = at + entry.size() + 7;
        const int index = std::stoi(line.substr(number));
        if (std::find(e.tensor_maps.begin(), e.tensor_maps.end(), index) == e.tensor_maps.end()) {
            return line;
        }
        const std::string name = entry + "_param_" + std::to_string(index);
        maps["[" + name + "]"] = name;
        return "\t.param .align 64 .b8 " + name + "[128]" + (line.find(',') != std::string::npos ? "," : "");
    }

    /** A load of a tensor map parameter yields its generic address instead. */
    bool load_of_map(const std::string &line) {
        if (!starts_with(trim(line), "ld.param")) {
            return false;
        }
        const auto found = maps.find(operand_after_comma(line));
        if (found == maps.end()) {
            return false;
        }
        const std::string l = trim(line);
        const size_t tab = l.find_first_of(" \t");
        const std::string result = trim(l.substr(tab, l.find(',') - tab));
        body << "\t{ .reg .b64 %sa; mov.b64 %sa, " << found->second << "; cvta.param.u64 " << result << ", %sa; }\n";
        return true;
    }

    void finish_entry() {
        const EntryOptions &e = options.entries.at(entry);
        out << head.str() << ")\n.maxntid " << e.threads << ", 1, 1\n.minnctapersm " << e.blocks << "\n{\n";
        for (const auto &n : named) {
            const char *type = is_wide_register(n.first) ? ".b64" : ".b32";
            out << "\t.reg " << type << " \t%strobe_" << n.first << "_<" << n.second << ">;\n";
        }
        out << keep_min_max_apart(body.str()) << "}\n";
        head.str("");
        body.str("");
        named.clear();
        maps.clear();
        entry.clear();
    }

public:
    explicit Expander(const PtxOptions &options)
        : options(options) {
    }

    std::string run(const std::string &ptx) {
        const std::vector<std::string> lines = split(ptx, "\n");
        bool in_head = false;
        for (size_t i = 0; i < lines.size(); i++) {
            const std::string &line = lines[i];
            const std::string text = trim(line);
            if (skipping) {
                skipping = text != ";";
            } else if (starts_with(text, ".extern .func")) {
                skipping = true;
            } else if (starts_with(text, ".version")) {
                out << ".version " << options.ptx_version << "\n";
            } else if (starts_with(text, ".target")) {
                out << ".target " << options.architecture << "\n";
            } else if (starts_with(text, ".address_size")) {
                out << line << "\n.extern .shared .align 1024 .b8 strobe_shared[];\n";
            } else if (starts_with(text, ".visible .entry")) {
                const size_t at = text.find(".entry") + 7;
                entry = text.substr(at, text.find('(') - at);
                strobe_internal_assert(options.entries.count(entry)) << "kernel " << entry << " has no options";
                head << line << "\n";
                in_head = true;
            } else if (in_head) {
                if (starts_with(text, ")")) {
                    in_head = false;
                } else {
                    head << parameter(line) << "\n";
                }
            } else if (entry.empty()) {
                out << line << "\n";
            } else if (text == "}" && line[0] == '}') {
                finish_entry();
            } else if (text.find("{ // callseq") != std::string::npos) {
                std::vector<std::string> block;
                for (i++; lines[i].find("} // callseq") == std::string::npos; i++) {
                    block.push_back(lines[i]);
                }
                expand_call(block);
            } else if (text == "{" || load_of_map(line)) {
                // The kernel's opening brace is written with its declarations.
            } else {
                body << line << "\n";
            }
        }
        strobe_internal_assert(entry.empty()) << "kernel " << entry << " does not end";
        return out.str();
    }
};

}  // namespace

std::string expand_ptx(const std::string &ptx, const PtxOptions &options) {
    return Expander(options).run(ptx);
}

std::string merge_ptx(const std::vector<std::string> &texts) {
    std::string merged;
    for (const std::string &text : texts) {
        // Behind the header, which ends with the declaration of the shared memory.
        const size_t header = text.find(".extern .shared"), end = text.find('\n', header);
        strobe_internal_assert(header != std::string::npos && end != std::string::npos)
            << "PTX without its header:\n"
            << text.substr(0, 400);
        merged += merged.empty() ? text : text.substr(end + 1);
    }
    return merged;
}

}  // namespace strobe::device
