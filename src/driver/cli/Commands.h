#ifndef STROBE_DRIVER_CLI_COMMANDS_H
#define STROBE_DRIVER_CLI_COMMANDS_H

/** \file
 * The commands of the `strobe` program, one file each. They print results on
 * stdout, progress on stderr, and return the exit code; errors are thrown. */

#include "driver/Problem.h"
#include "schedule/Schedule.h"

namespace strobe {

/** What most commands take. */
struct Request {
    std::vector<std::string> algorithms;
    std::vector<std::string> settings;  // name=value: generator parameters and scalars
    std::string target = "host";
    std::string schedule;  // file; empty: automatic
    Problem problem;
};

/** The generator parameters among the settings; the others become scalars of the problem. */
std::map<std::string, std::string> take_params(Request &request);

/** "host", "cuda-sm_90a", or any Halide target. Throws UserError. */
Halide::Target parse_target(const std::string &text);

/** Loads the schedule file, or returns the empty schedule, which leaves all to the automatic scheduler. */
Schedule requested_schedule(const Request &request);

/** The named algorithms, or all when none is named. */
std::vector<std::string> requested_algorithms(const Request &request);

int list_command();

int explain_command(Request request);

struct CompileRequest : Request {
    std::string output;         // path without extension, or ending in .skp for a GPU kernel package
    std::string function_name;  // default: the algorithm
    bool verbose = false;       // also the stages, and what ptxas says
    bool timings = false;       // also where the time went
};
int compile_command(CompileRequest request);

int run_command(Request request);

/** Compares with the unscheduled algorithm and with float64. Exit code 1 if one is outside the error rule. */
int check_command(Request request);

struct BenchRequest : Request {
    double seconds = 0.5;  // of measuring, for each
    std::string json;      // file for the results
    bool alone = false;    // without the unscheduled algorithm
};
int bench_command(BenchRequest request);

struct DemoRequest {
    std::string folder;  // of text files; empty: the system's documentation
    std::string output = "demo";
    int length = 1024, heads = 2, head_dim = 64;
};
int demo_command(const DemoRequest &request);

}  // namespace strobe

#endif
