#include "Execute.h"
#include "Progress.h"
#include "support/Error.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <ctime>
#include <fstream>

namespace strobe {

using nlohmann::json;

namespace {

std::string today() {
    char text[32];
    const std::time_t now = std::time(nullptr);
    std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
    return text;
}

/** The model name of the CPU, where /proc tells it. */
std::string cpu_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const size_t colon = line.find(": ");
        if (line.compare(0, 10, "model name") == 0 && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    return "CPU";
}

json row_of(const std::string &variant, const std::string &system, const std::string &schedule, const Request &request,
            Instance &instance, double seconds) {
    const Problem &p = request.problem;
    std::ostringstream dtype;
    dtype << instance.outputs[0].type();
    return {{"variant", variant},
            {"system", system},
            {"schedule", schedule},
            {"dtype", dtype.str()},
            {"B", p.batch},
            {"H", p.heads},
            {"group", p.heads / p.kv_heads},
            {"S", p.queries},
            {"Sk", p.keys},
            {"D", instance.input("q") ? instance.input("q")->buffer().dim(0).extent() : 0},
            {"ms", seconds * 1e3},
            {"tflops", dense_flops(instance, p) / seconds / 1e12}};
}

}  // namespace

int bench_command(BenchRequest request) {
    const std::map<std::string, std::string> params = take_params(request);
    Progress progress;
    json rows = json::array();
    const std::vector<std::string> algorithms = requested_algorithms(request);
    std::printf("%-16s %12s %12s %10s %12s\n", "", "unscheduled", "Strobe", "speed-up", "GFLOP/s");
    for (const std::string &name : algorithms) {
        Instance instance = prepare(name, params, request);
        double plain = 0;
        if (!request.alone) {
            progress.step(name + ": unscheduled");
            plain = run_unscheduled(request, prepare(name, params, request)).seconds;
            rows.push_back(row_of(name, "halide", "unscheduled", request, instance, plain));
        }
        progress.step(name + ": scheduled by Strobe");
        const Result ours = run_scheduled(request, instance, request.seconds);
        progress.clear();
        char speed_up[32] = "";
        if (!request.alone) {
            std::snprintf(speed_up, sizeof speed_up, "%.1fx", plain / ours.seconds);
        }
        std::printf("%-16s %12s %12s %10s %12.1f\n", name.c_str(), request.alone ? "" : duration(plain).c_str(),
                    duration(ours.seconds).c_str(), speed_up,
                    dense_flops(instance, request.problem) / ours.seconds / 1e9);
        rows.push_back(row_of(name, "strobe", request.schedule.empty() ? "automatic" : request.schedule, request,
                              instance, ours.seconds));
    }
    if (!request.json.empty()) {
        const json report = {
            {"device", request.target == "host" ? cpu_name() : request.target}, {"date", today()}, {"rows", rows}};
        std::ofstream file(request.json);
        file << report.dump(2) << "\n";
        if (!file) {
            strobe_runtime_failure() << "can't write " << request.json;
        }
    }
    return 0;
}

}  // namespace strobe
