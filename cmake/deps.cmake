# Imported targets for everything that is not ours. Static wherever Debian has an archive; see third_party/README.md.
#
#   clew::awslc (or Debian's OpenSSL, by CLEW_TLS) as clew::tls   clew::llhttp   clew::messages (xDS, Istio and OTLP protobuf)
#   clew_spdlog   clew::boost (headers)   clew::nghttp2   clew::re2   clew::cares   clew::yaml   clew::cli11   clew::xxhash
#   clew::protobuf   clew::zlib   tests alone: clew_json (Boost.JSON)   clew::catch2

find_package(Threads REQUIRED)

# clew_archive(NAME ARCHIVE [DEPS...]): an interface target for a static library of the system.
function(clew_archive name archive)
  find_library(CLEW_LIB_${name} ${archive} REQUIRED)
  add_library(clew::${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(clew::${name} INTERFACE ${CLEW_LIB_${name}} ${ARGN})
endfunction()

clew_archive(nghttp2 libnghttp2.a)
clew_archive(re2 libre2.a Threads::Threads)
clew_archive(cares libcares.a)
clew_archive(yaml libyaml-cpp.a)
clew_archive(xxhash libxxhash.a)
clew_archive(zlib libz.a)
clew_archive(protobuf libprotobuf.a clew::zlib Threads::Threads)

foreach(header_only boost cli11 catch2)
  add_library(clew::${header_only} INTERFACE IMPORTED GLOBAL)
endforeach()

# Header-only on paper; here compiled once. What they are compiled with holds for the whole tree: a file that sees other
# definitions has other class layouts, and the linker would not say so.
add_compile_definitions(BOOST_ALL_NO_LIB SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL)
add_library(clew_json STATIC ${CMAKE_SOURCE_DIR}/cmake/compiled/json.cc)
target_link_libraries(clew_json PUBLIC clew::boost)

add_library(clew_spdlog STATIC ${CMAKE_SOURCE_DIR}/cmake/compiled/spdlog.cc ${CMAKE_SOURCE_DIR}/cmake/compiled/fmt.cc)
target_link_libraries(clew_spdlog PUBLIC Threads::Threads)

# Built by third_party/build.sh into the cache of this machine; a no-op when they are there.
function(clew_third_party name out)
  set(script ${CMAKE_SOURCE_DIR}/third_party/build.sh)
  execute_process(COMMAND ${script} ${name} COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${script} --prefix ${name} OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(${out} ${prefix} PARENT_SCOPE)
endfunction()

clew_third_party(llhttp prefix)
add_library(clew::llhttp STATIC IMPORTED GLOBAL)
set_target_properties(clew::llhttp PROPERTIES
  IMPORTED_LOCATION ${prefix}/lib/libllhttp.a INTERFACE_INCLUDE_DIRECTORIES ${prefix}/include)

add_library(clew::tls INTERFACE IMPORTED GLOBAL)
if(CLEW_TLS STREQUAL awslc)
  clew_third_party(awslc prefix)
  add_library(clew::awslc INTERFACE IMPORTED GLOBAL)
  target_include_directories(clew::awslc SYSTEM INTERFACE ${prefix}/include)
  target_link_libraries(clew::awslc INTERFACE ${prefix}/lib/libssl.a ${prefix}/lib/libcrypto.a Threads::Threads)
  target_link_libraries(clew::tls INTERFACE clew::awslc)
elseif(CLEW_TLS STREQUAL openssl)
  clew_archive(libcrypto libcrypto.a Threads::Threads dl)
  clew_archive(libssl libssl.a clew::libcrypto)
  target_link_libraries(clew::tls INTERFACE clew::libssl)
else()
  message(FATAL_ERROR "CLEW_TLS is \"${CLEW_TLS}\"; it can be awslc or openssl")
endif()

clew_third_party(messages prefix)
add_library(clew::messages INTERFACE IMPORTED GLOBAL)
target_include_directories(clew::messages SYSTEM INTERFACE ${prefix}/include)
# Whole: a type that is only named inside an Any is found through its static registration alone.
target_link_libraries(clew::messages INTERFACE
  -Wl,--whole-archive ${prefix}/lib/libmessages.a -Wl,--no-whole-archive clew::protobuf)

# Text alone: what Envoy's API demands of the fields of these messages.
clew_third_party(constraints prefix)
target_include_directories(clew::messages SYSTEM INTERFACE ${prefix}/include)
