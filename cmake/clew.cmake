# The functions that every CMakeLists.txt below the root uses. Names come out of the folder's last part.
#
#   clew_library(http SOURCES stream.cc h1_codec.cc DEPS clew_net clew::llhttp)
#       static library clew_http; sources relative to the folder; list headers only if they are generated.
#       DEPS are public: what our headers include reaches whoever links us.
#   clew_unit_test(http SOURCES h1_codec_test.cc stream_test.cc DEPS clew_http)
#       executable unit_http, registered with ctest under that name; main() and Catch2 are linked in.
#       The folder is test/unit/<path of the tested folder>; add it to test/CMakeLists.txt.
#   clew_fuzzer(h1 SOURCES h1_fuzz.cc DEPS clew_http)
#       SOURCES define LLVMFuzzerTestOneInput. With clang: libFuzzer executable fuzz_h1. With g++: the same file with a
#       main() that replays files and folders. Either way ctest replays test/fuzz/corpus/h1 once, if it is there.
#   clew_program(clew SOURCES main.cc app.cc DEPS clew_admin ...)
#       executable at the top of the build folder, stripped; its debug information is beside it in clew.debug.
#
# Libraries for DEPS beside our own: see cmake/deps.cmake. All of ours include from the root: "proxy/net/transport.h".

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_custom_target(fuzzers)

function(clew_common target)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${CLEW_WARNINGS})
endfunction()

function(clew_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_library(clew_${name} STATIC ${arg_SOURCES})
  clew_common(clew_${name})
  target_link_libraries(clew_${name} PUBLIC ${arg_DEPS})
  set_target_properties(clew_${name} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()

function(clew_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(${name} ${arg_SOURCES})
  clew_common(${name})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  if(NOT CLEW_SANITIZE)
    add_custom_command(TARGET ${name} POST_BUILD VERBATIM
      COMMAND ${CMAKE_OBJCOPY} --only-keep-debug $<TARGET_FILE:${name}> $<TARGET_FILE:${name}>.debug
      COMMAND ${CMAKE_OBJCOPY} --strip-all --add-gnu-debuglink=$<TARGET_FILE:${name}>.debug $<TARGET_FILE:${name}>)
  endif()
endfunction()

function(clew_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(unit_${name} ${arg_SOURCES} $<TARGET_OBJECTS:clew_catch_main>)
  clew_common(unit_${name})
  target_link_libraries(unit_${name} PRIVATE ${arg_DEPS} clew::catch2)
  add_test(NAME unit_${name} COMMAND unit_${name})
  set_tests_properties(unit_${name} PROPERTIES TIMEOUT 600)  # seconds; for what hangs, ten times what the slowest takes
endfunction()

function(clew_fuzzer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(fuzz_${name} ${arg_SOURCES})
  clew_common(fuzz_${name})
  add_dependencies(fuzzers fuzz_${name})
  target_link_libraries(fuzz_${name} PRIVATE ${arg_DEPS})
  if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set(replay -runs=0)
  else()
    target_sources(fuzz_${name} PRIVATE $<TARGET_OBJECTS:clew_fuzz_replay>)
    set(replay)
  endif()
  set(corpus ${CMAKE_SOURCE_DIR}/test/fuzz/corpus/${name})
  if(IS_DIRECTORY ${corpus})
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${replay} ${corpus})
  endif()
endfunction()
