// The command line: what the commands are and what they take. What they do is in cli/.

#include "cli/Commands.h"
#include "cli/Progress.h"
#include "support/Error.h"
#include "support/NearestName.h"

#include <CLI/CLI.hpp>

#include <iostream>

using namespace strobe;

namespace {

/** \p scalars: an algorithm's scalars have values here; else they are arguments of what is compiled. */
void add_algorithms(CLI::App *command, Request &request, const std::string &which, bool scalars = true) {
    command
        ->add_option("algorithm", request.settings,
                     which + ", and settings:\ndtype=bf16|fp16|fp32  head_dim=64  value_dim=64" +
                         (scalars ? "\nand the algorithm's scalars, such as window=256" : ""))
        ->type_name("NAME|SETTING");
}

void add_target(CLI::App *command, Request &request) {
    command->add_option("--target", request.target, "host, cuda-sm_90a, or a Halide target")
        ->type_name("TARGET")
        ->capture_default_str();
    command->add_option("--schedule", request.schedule, "Follow the schedule in this file instead of choosing one")
        ->type_name("FILE");
}

/** kv_heads and keys of 0 mean: as many as heads and queries. */
void add_problem(CLI::App *command, Problem &problem) {
    problem.kv_heads = problem.keys = 0;
    command->add_option("-B,--batch", problem.batch, "Sequences")->capture_default_str();
    command->add_option("-H,--heads", problem.heads, "Heads of q")->capture_default_str();
    command->add_option("--kv-heads", problem.kv_heads, "Heads of k and v (default: those of q)");
    command->add_option("-S,--length,--queries", problem.queries, "Query positions")->capture_default_str();
    command->add_option("--keys", problem.keys, "Key positions (default: those of the queries)");
    command->add_option("--seed", problem.seed, "Of the random data")->capture_default_str();
}

/** Settings hold both names and name=value until here. */
void separate(Request &request) {
    std::vector<std::string> settings;
    for (const std::string &text : request.settings) {
        (text.find('=') == std::string::npos ? request.algorithms : settings).push_back(text);
    }
    request.settings = settings;
    Problem &p = request.problem;
    p.kv_heads = p.kv_heads == 0 ? p.heads : p.kv_heads;
    p.keys = p.keys == 0 ? p.queries : p.keys;
}

void need_one_algorithm(const Request &request, const char *command) {
    strobe_user_assert(request.algorithms.size() == 1)
        << "strobe " << command << " takes one algorithm; got " << request.algorithms.size()
        << " (known: " << list_of(registered_algorithms(), ", ") << ")";
}

std::vector<std::string> command_names(const CLI::App &app) {
    std::vector<std::string> names;
    for (const CLI::App *command : app.get_subcommands([](const CLI::App *) { return true; })) {
        names.push_back(command->get_name());
    }
    return names;
}

std::vector<std::string> option_names(const CLI::App &app) {
    std::vector<std::string> names;
    for (const CLI::Option *option : app.get_options()) {
        for (const std::string &name : option->get_lnames()) {
            names.push_back("--" + name);
        }
    }
    return names;
}

/** CLI11 refuses what it does not know; this says what was meant. */
void refuse_unknown(const CLI::App &app, int argc, char **argv) {
    const std::vector<std::string> commands = command_names(app);
    strobe_user_assert(argc >= 2) << "strobe takes a command: " << list_of(commands, " or ")
                                  << "; strobe --help says what they do";
    const std::string first = argv[1];
    if (first[0] != '-' && std::find(commands.begin(), commands.end(), first) == commands.end()) {
        strobe_user_error() << "there is no command " << first << suggestion_for(first, commands);
    }
    const CLI::App *command = first[0] == '-' ? &app : app.get_subcommand(first);
    const std::vector<std::string> options = option_names(*command);
    for (int n = 1; n < argc; n++) {
        const std::string given = std::string(argv[n]).substr(0, std::string(argv[n]).find('='));
        if (given.compare(0, 2, "--") == 0 && given.size() > 2 &&
            std::find(options.begin(), options.end(), given) == options.end()) {
            strobe_user_error() << "strobe " << (command == &app ? "" : first + " ") << "has no option " << given
                                << suggestion_for(given, options);
        }
    }
}

int run_commands(int argc, char **argv) {
    CLI::App app("Strobe compiles attention: a Halide algorithm and a schedule, written or derived, become a kernel.",
                 "strobe");
    app.footer("A first look:\n"
               "  strobe list\n"
               "  strobe explain causal dtype=fp32\n"
               "  strobe check sliding_window window=100 -S 300\n"
               "  strobe compile causal dtype=fp32 head_dim=64 -o build/causal\n"
               "`strobe COMMAND --help` says more.");
    app.require_subcommand(1);
    int code = 0;

    CLI::App *list = app.add_subcommand("list", "The algorithms, with their inputs and scalars");
    list->callback([&] { code = list_command(); });

    Request explain_request;
    CLI::App *explain = app.add_subcommand("explain", "What is derived for an algorithm, and why");
    explain->footer("Example: strobe explain softcap dtype=fp32 --target host");
    add_algorithms(explain, explain_request, "One algorithm by name");
    add_target(explain, explain_request);
    add_problem(explain, explain_request.problem);
    explain->callback([&] {
        separate(explain_request);
        need_one_algorithm(explain_request, "explain");
        code = explain_command(explain_request);
    });

    CompileRequest compile_request;
    CLI::App *compile =
        app.add_subcommand("compile", "An algorithm to a static library and a header, or to a GPU package");
    compile->footer("Batch, heads, lengths and strides stay free: one library or package serves all.\n"
                    "A package (.skp) is loaded by the runtime, include/strobe/runtime.h, on raw device pointers.\n"
                    "Examples: strobe compile causal dtype=fp32 head_dim=64 -o build/causal\n"
                    "          strobe compile causal dtype=bf16 head_dim=128 --target cuda-sm_90a -o causal.skp -v");
    add_algorithms(compile, compile_request, "One algorithm by name", false);
    add_target(compile, compile_request);
    compile->add_option("-o,--output", compile_request.output,
                        "Path without extension, or FILE.skp for a GPU package (default: the algorithm)")
        ->type_name("PATH");
    compile->add_option("--name", compile_request.function_name, "Of the C function (default: the algorithm)");
    compile->add_flag("-v,--verbose", compile_request.verbose, "Print the stages, and ptxas' statistics of a package");
    compile->add_flag("--timings", compile_request.timings, "Print how long each stage took");
    compile->callback([&] {
        separate(compile_request);
        need_one_algorithm(compile_request, "compile");
        code = compile_command(compile_request);
    });

    Request run_request, check_request;
    CLI::App *run = app.add_subcommand("run", "Compile and run on random data");
    run->footer("Example: strobe run causal dtype=fp32 -S 2048 -H 8");
    add_algorithms(run, run_request, "Algorithms by name (all if none is named)");
    add_target(run, run_request);
    add_problem(run, run_request.problem);
    run->callback([&] {
        separate(run_request);
        code = run_command(run_request);
    });

    CLI::App *check = app.add_subcommand("check", "Compare with the unscheduled algorithm and with float64");
    check->footer("Exit code 1 if a result is outside the error rule.\n"
                  "Example: strobe check prefix_lm prefix=40 -S 300 --keys 411 -H 8 --kv-heads 2");
    add_algorithms(check, check_request, "Algorithms by name (all if none is named)");
    add_target(check, check_request);
    check_request.problem.queries = 256;
    add_problem(check, check_request.problem);
    check->callback([&] {
        separate(check_request);
        code = check_command(check_request);
    });

    BenchRequest bench_request;
    CLI::App *bench = app.add_subcommand("bench", "Time against the unscheduled algorithm");
    bench->footer("Examples: strobe bench dtype=fp32 -S 1024 --json results.json\n"
                  "          strobe bench causal dtype=bf16 -S 16384 -H 16 --target cuda-sm_90a --alone");
    add_algorithms(bench, bench_request, "Algorithms by name (all if none is named)");
    add_target(bench, bench_request);
    add_problem(bench, bench_request.problem);
    bench->add_option("--seconds", bench_request.seconds, "To measure each for")->capture_default_str();
    bench->add_option("--json", bench_request.json, "Write the results to this file");
    bench->add_flag("--alone", bench_request.alone,
                    "Without the unscheduled algorithm, which takes minutes at lengths that suit a GPU");
    bench->callback([&] {
        separate(bench_request);
        code = bench_command(bench_request);
    });

    DemoRequest demo_request;
    CLI::App *demo = app.add_subcommand("demo", "Every algorithm on real text, checked, timed and drawn");
    demo->footer("Packs text files into one sequence of documents, runs all algorithms on it, and draws which tiles\n"
                 "each one visits.\nExample: strobe demo ~/notes -o pictures --length 2048");
    demo->add_option("folder", demo_request.folder, "Of text files (default: the system's licences or documentation)");
    demo->add_option("-o,--output", demo_request.output, "Folder for the pictures")->capture_default_str();
    demo->add_option("-S,--length", demo_request.length, "Bytes of text")->capture_default_str();
    demo->add_option("-H,--heads", demo_request.heads, "Heads")->capture_default_str();
    demo->add_option("--head-dim", demo_request.head_dim, "Features of a head")->capture_default_str();
    demo->callback([&] { code = demo_command(demo_request); });

    refuse_unknown(app, argc, argv);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    return code;
}

/** Schedule errors already begin with file:line:column and "error:". */
int report(const char *text, int code) {
    const std::string first_line = std::string(text).substr(0, std::string(text).find('\n'));
    std::cerr << (first_line.find("error: ") == std::string::npos ? "error: " : "") << text << "\n";
    return code;
}

}  // namespace

int main(int argc, char **argv) {
    quiet_halide();
    try {
        return run_commands(argc, argv);
    } catch (const UserError &e) {
        return report(e.what(), 2);
    } catch (const RuntimeFailure &e) {
        return report(e.what(), 3);
    } catch (const Halide::CompileError &e) {  // none of Halide's is a std::exception
        return report((std::string("from Halide: ") + e.what()).c_str(), 2);
    } catch (const Halide::RuntimeError &e) {
        return report((std::string("from Halide: ") + e.what()).c_str(), 3);
    } catch (const Halide::Error &e) {
        std::cerr << "internal error in Halide, please report it: " << e.what() << "\n";
        return 4;
    } catch (const std::exception &e) {
        std::cerr << "internal error, please report it: " << e.what() << "\n";
        return 4;
    }
}
